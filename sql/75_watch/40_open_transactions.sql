-- 40_open_transactions: no session's open transaction may block people, workers or the event history.  A session can
-- undo its own settings, so a watcher checks all sessions several times a second: it ends those of our logins that
-- exceed their limits and reports the others.

create or replace function trade.work_behind_locks()
returns table (work text, holder integer)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Stops, claims and cancels skip a locked row, so nothing else reports a row that stays locked.
    return query
    select format('exit of position %s/%s/%s', d.account_id, d.instrument_id, d.owner), h.pid
    from trade.exits_due as d
    join trade.positions as p
        on p.account_id = d.account_id and p.instrument_id = d.instrument_id and p.owner = d.owner
    cross join lateral bus.row_holders(p.xmax) as h (pid)
    union all
    select 'claim of an intent', h.pid
    from trade.order_intents as i
    cross join lateral bus.row_holders(i.xmax) as h (pid)
    where i.status = 'NEW' and (i.not_before is null or i.not_before <= bus.clock())
    union all
    select 'cancel or question of an order', h.pid
    from trade.orders as o
    cross join lateral bus.row_holders(o.xmax) as h (pid)
    where o.closed_at is null and (o.cancel_requested_at is not null or o.status in ('SENDING', 'IN_DOUBT'));
end;
$$;

comment on function trade.work_behind_locks is
    'Exits, claims, cancels and questions to brokers that are due but whose row another transaction has locked, and '
    'the pid of its session; null for a prepared transaction.';

create or replace view bus.blocked as
with recursive chain as (
    select w.pid as waiter, w.since, b.pid as holder
    from (
        select s.pid, min(l.waitstart) as since
        from bus.sessions as s
        join pg_locks as l on l.pid = s.pid and not l.granted
        where s.is_here and s.is_worker and s.waits
        group by s.pid
        having min(l.waitstart) <= bus.clock() - interval '250 ms'
    ) as w
    cross join lateral unnest(pg_blocking_pids(w.pid)) as b (pid)
    union
    -- A holder that waits itself is not the cause: follow the chain to the session it waits for.
    select c.waiter, c.since, b.pid
    from chain as c
    join bus.sessions as s on s.pid = c.holder and s.waits
    cross join lateral unnest(pg_blocking_pids(c.holder)) as b (pid)
)

select c.waiter, c.since, nullif(c.holder, 0) as holder
from chain as c
where not exists (select from bus.sessions as s where s.pid = c.holder and s.waits);

comment on view bus.blocked is
    'Workers that have waited for a lock for over 250 ms, and the session at the end of the chain; null for a prepared '
    'transaction.';

create or replace function bus.blocking_sessions()
returns table (kind text, work text, holder integer)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from bus.sessions as s where s.is_here and s.is_worker and s.waits) then
        return query
        select 'lock_wait', bus.door_function(s.query), b.holder
        from bus.blocked as b
        join bus.sessions as s on s.pid = b.waiter;
    end if;

    -- Only a transaction with a transaction id can hold a row lock.
    if exists (
        select
        from bus.sessions as s
        where s.is_here and s.backend_xid is not null and s.xact_start <= bus.clock() - interval '250 ms'
        union all
        select
        from bus.prepared as p
        where p.database = current_database()
    ) then
        return query
        select 'skipped_work', k.work, k.holder
        from trade.work_behind_locks() as k
        where k.holder is null
           or k.holder in (
               select s.pid from bus.sessions as s where s.xact_start <= bus.clock() - interval '250 ms'
           );
    end if;
end;
$$;

comment on function bus.blocking_sessions is
    'What has waited for over 250 ms, and for which session: an api function that waits for a lock, or work that is '
    'skipped because its row is locked.';

create or replace function bus.watch_report(p_session bus.sessions)
returns jsonb
language sql
stable
begin atomic
    select jsonb_build_object(
        'pid', p_session.pid,
        'login', p_session.login,
        'database', p_session.database,
        'state', p_session.state,
        'since', p_session.xact_start,
        'last_statement_at', p_session.query_start,
        'statement', bus.door_function(p_session.query),
        'application', left(p_session.application_name, 64),
        'address', p_session.client_addr
    );
end;

comment on function bus.watch_report is
    'What is reported about a session: who, since when, and the api function it called last, but not the text of its '
    'statement.';

create or replace function bus.over_limit(
    p_session    bus.sessions,
    p_in_the_way boolean
)
returns text
language sql
volatile
begin atomic
    -- Null limits give null: a session that is none of ours is not ended.
    select case
        when p_in_the_way and p_session.is_idle
            and p_session.xact_start <= bus.clock() - p_session.idle_in_the_way then 'idle in the way of others'
        when p_in_the_way and p_session.xact_start <= bus.clock() - p_session.in_the_way then 'in the way of others'
        when p_session.is_idle
            and p_session.state_change <= bus.clock() - p_session.idle_in_transaction then 'idle in a transaction'
        when not p_session.is_idle
            and p_session.query_start <= bus.clock() - p_session.statement then 'a statement too long'
        when p_session.xact_start <= bus.clock() - p_session.transaction then 'a transaction too long'
    end;
end;

comment on function bus.over_limit is 'Which limit of its login a session exceeds; null for none.';

create or replace function bus.watch_findings()
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ways     jsonb;
    v_session  bus.sessions;
    v_why      text;
    v_held     jsonb;
    v_findings jsonb;
begin
    select coalesce(jsonb_agg(distinct to_jsonb(w)), '[]') into v_ways from bus.blocking_sessions() as w;

    -- Record who waits for whom before any session is ended.
    select coalesce(jsonb_agg(jsonb_build_object(
        'kind', w.value ->> 'kind',
        'subject', format('%s waits for %s', w.value ->> 'work', coalesce(s.login, 'a prepared transaction')),
        'detail', jsonb_build_object('holder', bus.watch_report(s))
    )), '[]')
    into v_findings
    from jsonb_array_elements(v_ways) as w
    left join bus.sessions as s on s.pid = (w.value ->> 'holder')::integer
    where s.pid is not null or w.value ->> 'holder' is null;

    for v_session in
        select s.* from bus.sessions as s where s.is_here and s.transaction is not null
    loop
        v_why := bus.over_limit(v_session, v_ways @> jsonb_build_array(jsonb_build_object('holder', v_session.pid)));
        continue when v_why is null;

        v_held := bus.held_by(v_session.pid);

        if bus.end_session(v_session.pid) then
            v_findings := v_findings || jsonb_build_object(
                'kind', 'session_ended',
                'subject', v_session.login,
                'detail', bus.watch_report(v_session) || jsonb_build_object('why', v_why, 'held', v_held)
            );
        end if;
    end loop;

    return v_findings;
end;
$$;

comment on function bus.watch_findings is
    'Ends the sessions that exceed their limits and returns what must be recorded: kind, subject and detail of '
    'incidents.';

create or replace function bus.held_transactions()
returns table (subject text, detail jsonb)
language sql
volatile
begin atomic
    -- Sessions that we may not end but that hold back the xmin horizon: they delay seals, event readers and vacuum.
    select format('%s in %s', s.login, s.database), bus.watch_report(s)
    from bus.sessions as s
    cross join bus.session_limits as n
    where n.role_group = 'other'
      and (s.transaction is null or not s.is_here)
      and (s.backend_xid is not null or (s.backend_xmin is not null and s.is_here))
      and (s.xact_start <= bus.clock() - n.transaction
           or (s.is_idle and s.state_change <= bus.clock() - n.idle_in_transaction))
    union all
    select p.who, jsonb_build_object('gid', left(p.gid, 100), 'login', p.login, 'database', p.database,
        'since', p.prepared_at)
    from bus.prepared as p
    cross join bus.session_limits as n
    where n.role_group = 'other'
      and p.prepared_at <= bus.clock() - n.idle_in_transaction;
end;

comment on function bus.held_transactions is
    'Old transactions that we may not end: of superusers, in other databases, and prepared ones.';

create or replace function bus.record_finding(p_finding jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- One open incident for each subject; the same facts are recorded once.
    if not exists (
        select
        from risk.incidents as i
        where i.kind = p_finding ->> 'kind'
          and i.subject = left(p_finding ->> 'subject', 500)
          and i.closed_at is null
          and (i.detail = p_finding -> 'detail'
               or i.detail #>> '{holder,since}' = p_finding #>> '{detail,holder,since}')
    ) then
        perform api.raise_incident(p_finding ->> 'kind', p_finding ->> 'subject', p_finding -> 'detail');
    end if;
end;
$$;

comment on function bus.record_finding is 'Opens or updates the incident of a finding.';

create or replace function api.watch_sessions(p_unrecorded jsonb default '[]')
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_finding    jsonb;
    v_held       jsonb;
    v_unrecorded jsonb := '[]';
begin
    select coalesce(jsonb_agg(jsonb_build_object(
        'kind', 'transaction_held', 'subject', h.subject, 'detail', h.detail
    )), '[]')
    into v_held
    from bus.held_transactions() as h;

    for v_finding in
        select f.value from jsonb_array_elements(p_unrecorded || bus.watch_findings() || v_held) as f
    loop
        begin
            perform bus.record_finding(v_finding);
        exception when lock_not_available then
            v_unrecorded := v_unrecorded || v_finding;  -- the incident is locked: the next call records it
        end;
    end loop;

    perform risk.end_incident(i.kind, i.subject)
    from risk.incidents as i
    where i.kind = 'transaction_held'
      and i.closed_at is null
      and not v_held @> jsonb_build_array(jsonb_build_object('subject', i.subject));

    return v_unrecorded;
end;
$$;

comment on function api.watch_sessions is
    'Ends sessions of our logins that exceed bus.session_limits. Records these, sessions that make a worker wait for '
    'over 250 ms, and old transactions that we may not end. Returns what could not be recorded, for the next call. '
    'Never waits for a lock longer than 100 ms.';
