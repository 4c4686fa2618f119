-- 44_sessions: sessions in a transaction: whose they are, since when, and what they lock.  Their ages follow the
-- machine's clock, as pg_stat_activity does, not the clock of a replay.

create or replace view bus.sessions as
select
    a.pid,
    a.usename as login,
    a.datname as database,
    a.state,
    a.xact_start,
    a.query_start,
    a.state_change,
    a.backend_xid,
    a.backend_xmin,
    a.query,
    a.application_name,
    a.client_addr,
    a.datname = current_database() as is_here,
    coalesce(a.wait_event_type = 'Lock', false) as waits,
    coalesce(a.state like 'idle%', false) as is_idle,
    coalesce(l.is_worker, false) as is_worker,
    l.idle_in_transaction,
    l.statement,
    l.transaction,
    l.idle_in_the_way,
    l.in_the_way
from pg_stat_activity as a
left join lateral (
    -- A login in several groups has the rights of each, so take the longest limit of each kind.
    select
        bool_or(n.role_group in ('aegis_feed', 'aegis_engine', 'aegis_executor')) as is_worker,
        max(n.idle_in_transaction) as idle_in_transaction,
        max(n.statement) as statement,
        max(n.transaction) as transaction,
        max(n.idle_in_the_way) as idle_in_the_way,
        max(n.in_the_way) as in_the_way
    from bus.session_limits as n
    join pg_roles as g on g.rolname = n.role_group
    join pg_roles as r on r.oid = a.usesysid and not r.rolsuper
    where pg_has_role(a.usesysid, g.oid, 'MEMBER')
) as l on true
where a.xact_start is not null
  and a.backend_type = 'client backend'
  and a.pid <> pg_backend_pid();

comment on view bus.sessions is
    'Sessions of the whole server that are in a transaction, with the limits of their logins. The limits are null '
    'for a login that is not ours.';

create or replace function bus.row_holders(p_xmax xid)
returns setof integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_xmax = '0'::xid then
        return;
    end if;

    return query
    select l.pid
    from pg_locks as l
    where l.locktype = 'transactionid' and l.granted and l.transactionid = p_xmax;

    if found then
        return;
    end if;

    -- If several transactions hold the row, xmax is a multixact id.
    return query
    select l.pid
    from pg_get_multixact_members(p_xmax) as m
    join pg_locks as l on l.locktype = 'transactionid' and l.granted and l.transactionid = m.xid;
exception when internal_error or invalid_parameter_value then
    return;  -- not a multixact id either: the holders have ended
end;
$$;

comment on function bus.row_holders is
    'The sessions (pids) whose open transactions hold a row with this xmax; null for a prepared transaction.';

create or replace function bus.door_function(p_query text)
returns text
language sql
stable
begin atomic
    select coalesce((
        select m.name[1]
        from regexp_matches(p_query, '([a-z_][a-z0-9_]*)\s*\(', 'g') with ordinality as m (name, nr)
        where exists (
            select
            from pg_catalog.pg_proc as p
            where p.pronamespace = 'api'::regnamespace and p.proname = m.name[1]
        )
        order by m.nr
        limit 1
    ), 'a statement');
end;

comment on function bus.door_function is
    'The first api function that a statement calls. The text of the statement is never shown: it may hold a code.';

create or replace function bus.held_by(p_pid integer)
returns jsonb
language sql
stable
begin atomic
    select coalesce(jsonb_agg(h.lock order by h.lock), '[]')
    from (
        select distinct format('%s %s', l.relation::regclass, l.mode) as lock
        from pg_locks as l
        join pg_class as c on c.oid = l.relation and c.relkind in ('r', 'p')
        join pg_namespace as n on n.oid = c.relnamespace and n.nspname !~ '^pg_'
        where l.pid = p_pid
          and l.granted
          and l.database = (select d.oid from pg_database as d where d.datname = current_database())
          and l.mode <> 'AccessShareLock'
        order by lock
        limit 20
    ) as h;
end;

comment on function bus.held_by is
    'The tables that a session has locked, with the lock modes (AccessShareLock left out): at most 20.';

create or replace function bus.end_session(p_pid integer)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return pg_terminate_backend(p_pid);
exception when insufficient_privilege then
    -- A superuser's session, or a server that does not grant pg_signal_backend: the session has to end by itself.
    return false;
end;
$$;

comment on function bus.end_session is 'Terminates a session; false if we lack the privilege.';

create or replace view bus.prepared as
select
    p.transaction as xid,
    p.gid,
    p.owner as login,
    p.database,
    p.prepared as prepared_at,
    format('prepared transaction %L of %s in %s since %s', left(p.gid, 100), p.owner, p.database,
        to_char(p.prepared, 'YYYY-MM-DD HH24:MI:SS TZ')) as who
from pg_prepared_xacts as p;

comment on view bus.prepared is
    'Prepared transactions. Only the owner or a superuser can end one, by rollback prepared.';
