-- 12_gate_holders: a change of mode waits only briefly for locks: it ends the sessions that block it.

create or replace view risk.gate_locks as
select
    l.pid,
    l.virtualtransaction,
    l.granted,
    l.relation = 'risk.gate'::regclass as is_gate,
    l.mode
from pg_locks as l
join pg_class as c on c.oid = l.relation
where l.locktype = 'relation'
  and l.database = (select d.oid from pg_database as d where d.datname = current_database())
  and l.pid is distinct from pg_backend_pid()
  and case
      when l.relation = 'risk.gate'::regclass then l.granted and l.mode <> 'AccessShareLock'
      -- A session that waits for such a lock blocks as well: all others queue behind it.
      else c.relnamespace in ('risk'::regnamespace, 'bus'::regnamespace, 'trade'::regnamespace)
          and l.relation <> 'bus.seals'::regclass
          and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  end;

comment on view risk.gate_locks is
    'Locks of other sessions on the gate, and table locks in the schemas that a change of mode writes to.';

create or replace function risk.gate_holders()
returns table (pid integer, is_idle boolean, changes_mode boolean, who text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_stat_clear_snapshot();  -- else this transaction keeps seeing the sessions it saw first

    return query
    with found as (
        select k.pid, k.virtualtransaction, k.is_gate and k.mode = 'ExclusiveLock' as changes_mode
        from risk.gate_locks as k
        union
        select b.pid, null, false
        from risk.gate_locks as k
        cross join lateral unnest(pg_blocking_pids(k.pid)) as b (pid)
        where not k.granted and b.pid <> 0
        union
        select h.pid, null, false
        from (
            select s.xmax from risk.system_mode as s
            union
            select s.xmax from risk.scoped_modes as s
        ) as r
        cross join lateral bus.row_holders(r.xmax) as h (pid)
        where h.pid <> pg_backend_pid()
    )

    select
        f.pid,
        bool_or(a.state like 'idle%') is true,
        bool_or(f.changes_mode and coalesce(a.state = 'active', true)),
        max(coalesce(p.who, format('session %s of %s, %s since %s', f.pid, a.usename,
            coalesce(a.state, 'in a transaction'), to_char(coalesce(a.xact_start, a.backend_start), 'HH24:MI:SS TZ'))))
    from found as f
    left join pg_stat_activity as a on a.pid = f.pid
    -- A lock without a pid belongs to a prepared transaction, which also locks its own transaction id: match by that.
    left join bus.prepared as p
        on f.pid is null
        and p.database = current_database()
        and (f.virtualtransaction is null or exists (
            select
            from pg_locks as x
            where x.locktype = 'transactionid'
              and x.pid is null
              and x.transactionid = p.xid
              and x.virtualtransaction = f.virtualtransaction
        ))
    group by f.pid, p.who;
end;
$$;

comment on function risk.gate_holders is
    'The sessions and prepared transactions (pid null) that hold what a change of mode needs, in whatever lock mode: '
    'the gate, the rows of the modes, or a table it writes.';

create or replace function risk.end_gate_holders(p_try integer)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_holder record;
    v_ended  jsonb := '[]';
begin
    for v_holder in
        select w.* from risk.gate_holders() as w where w.pid is not null
    loop
        -- End idle sessions at the first try, busy ones at the second, and one that is changing the mode at the
        -- third, so that of two concurrent halts both succeed.
        continue when not v_holder.is_idle and p_try < case when v_holder.changes_mode then 3 else 2 end;

        if bus.end_session(v_holder.pid) then
            v_ended := v_ended || jsonb_build_object('pid', v_holder.pid, 'who', v_holder.who);
        end if;
    end loop;

    return v_ended;
end;
$$;

comment on function risk.end_gate_holders is
    'Ends the sessions that block a change of mode, idle ones already at its first try; returns which. The caller '
    'has waited for them in vain.';

create or replace function risk.set_lock_patience(
    p_try      integer,
    p_patience interval
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'lock_timeout',
        format('%sms', greatest(1, round(1000 * extract(epoch from p_patience) * case p_try
            when 1 then 0.25
            when 2 then 0.75
            else 1
        end))),
        true
    );
end;
$$;

comment on function risk.set_lock_patience is
    'Sets how long this try of a change of mode waits for a lock. The first two tries together wait p_patience.';

create or replace function risk.refuse_change(p_what text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% within 5 seconds: %', p_what, coalesce(
        (select string_agg(w.who, '; ' order by w.who) from risk.gate_holders() as w), 'no blocking session was found'
    )
        using errcode = 'TRI04',
              hint = 'A superuser may end it: select pg_terminate_backend(pid), or rollback prepared.';
end;
$$;

comment on function risk.refuse_change is
    'Gives up a change of mode and names the holders it could not end: superusers and prepared transactions. Raises '
    'TRI04.';

create or replace function risk.lock_gate_exclusive()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    v_patience interval := current_setting('lock_timeout');
    v_ended    jsonb := '[]';
begin
    for v_try in 1..25 loop
        begin
            perform risk.set_lock_patience(v_try, v_patience);
            lock table risk.gate in exclusive mode;
            perform risk.record_ended(v_ended);
            return;
        exception when lock_not_available then
            v_ended := v_ended || risk.end_gate_holders(v_try);
        end;
    end loop;

    perform risk.refuse_change('the gate could not be locked');
end;
$$;

comment on function risk.lock_gate_exclusive is
    'Locks the gate exclusively. Ends the sessions that block a change of mode: idle ones after 50 ms, busy ones '
    'after 200 ms. Raises TRI04.';

create or replace function risk.record_ended(p_ended jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.record_event('session', (e.value ->> 'pid')::bigint, 'ended', null,
        e.value || jsonb_build_object('why', 'in the way of a change of mode'))
    from jsonb_array_elements(p_ended) as e;
end;
$$;

comment on function risk.record_ended is 'Writes one event for each session that a change of mode ended.';
