-- 40_workers: the processes: who registers under which name, lives, stops, and tells of an error.

-- Advisory locks are keyed by (class, id), so that no two uses can meet by chance.
create or replace function bus.worker_lock_class()
returns integer
language sql
immutable
parallel safe
begin atomic
    select 1634036841;
end;

comment on function bus.worker_lock_class is
    'First key of the session advisory lock a worker holds; the second is its id.';

create or replace function bus.worker_is_alive(p_worker_id bigint)
returns boolean
language sql
volatile
begin atomic
    select exists (
        select
        from pg_catalog.pg_locks as l
        where l.locktype = 'advisory'
          and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
          and l.classid = bus.worker_lock_class()::oid
          and l.objid = p_worker_id::oid
          and l.granted
    );
end;

comment on function bus.worker_is_alive is
    'Whether the worker still holds its session lock: its process exists. A hint: the lease and the fence decide.';

-- A heartbeat comes every two seconds: one that is eight seconds old has missed three. Before its first a process
-- loads what it runs, which may take a while. One from the future was written before the clock was set back.
create or replace function bus.has_beaten(
    p_heartbeat_at timestamptz,
    p_detail       jsonb
)
returns boolean
language sql
volatile
begin atomic
    select p_heartbeat_at between
        bus.clock() - case when p_detail = '{}' then interval '60 s' else interval '8 s' end
        and bus.clock() + interval '8 s';
end;

comment on function bus.has_beaten is
    'Whether a worker whose last heartbeat is of this time and said this has missed fewer than three.';

create or replace function bus.require_worker(p_worker_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (
        select
        from bus.workers as w
        where w.worker_id = p_worker_id
          and w.login = session_user
          and w.state <> 'stopped'
    ) then
        raise exception 'worker % is not registered by this login or has stopped', p_worker_id
            using errcode = 'TRI04',
                  hint = 'Call register_worker first.';
    end if;
end;
$$;

comment on function bus.require_worker is 'Refuses a caller that is not the worker it says it is. Raises TRI04.';

create or replace function api.register_worker(
    p_name text,
    p_pid  integer,
    p_host text
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_is_strategy boolean := session_user like 'aegis\_s\_%';
    v_worker_id   bigint;
begin
    if (
        session_user = 'aegis_w_' || p_name
        or (v_is_strategy and p_name in ('strategy', 'strategy.' || substr(session_user, 9)))
    ) is not true then
        raise exception 'login % cannot register as %', session_user, left(p_name, 100)
            using errcode = 'TRI04',
                  hint = 'aegis_w_NAME registers as NAME, aegis_s_NAME as strategy.NAME.';
    end if;

    if (p_pid >= 0 and bus.is_text(p_host, 255)) is not true then
        raise exception 'a worker has a process id and a host name of at most 255 bytes'
            using errcode = 'TRI01', hint = 'Pass the id of the process and the name of its host.';
    end if;

    if not bus.may_write() or (
        select count(*) >= case when v_is_strategy then 30 else 600 end
        from bus.workers as w
        where w.login = session_user and w.started_at > bus.clock() - interval '1 min'
    ) then
        raise exception 'login % has registered too often within a minute', session_user
            using errcode = 'TRX01', hint = 'Find out why the process ends at once: aegis logs NAME.';
    end if;

    if v_is_strategy then
        perform bus.forget_workers();
    end if;

    insert into bus.workers (name, pid, host) values (p_name, p_pid, p_host) returning worker_id into v_worker_id;
    return v_worker_id;
end;
$$;

comment on function api.register_worker is
    'Announces a worker process; returns the id it claims work under. A restarted process gets a new one. Raises '
    'TRI01, TRI04, TRX01.';

create or replace function bus.forget_workers()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- No order names a strategy's worker, so nothing but this list remembers it.
    delete from bus.workers as w
    where w.login = session_user
      and w.worker_id < (
          select min(n.worker_id)
          from (
              select l.worker_id
              from bus.workers as l
              where l.login = session_user
              order by l.worker_id desc
              limit 50
          ) as n
      )
      and not bus.worker_is_alive(w.worker_id);
end;
$$;

comment on function bus.forget_workers is 'Keeps the 50 newest processes of this login and those that live.';

create or replace function api.hold_worker_lock(p_worker_id bigint)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_worker(p_worker_id);

    -- The lock table is shared by the whole server: when one session could fill it, nobody else got a lock.
    if exists (
        select
        from pg_locks as l
        where l.pid = pg_backend_pid()
          and l.locktype = 'advisory'
          and l.classid = bus.worker_lock_class()::oid
          and l.objid <> p_worker_id::oid
    ) then
        raise exception 'this session holds the lock of another worker'
            using errcode = 'TRI04', hint = 'One session stands for one process: open another connection.';
    end if;

    return pg_try_advisory_lock(bus.worker_lock_class(), p_worker_id::integer);
end;
$$;

comment on function api.hold_worker_lock is
    'Takes the worker''s session lock on this connection, so that PostgreSQL tells everyone at once when it dies. '
    'Raises TRI04.';

create or replace function api.heartbeat(
    p_worker_id bigint,
    p_state     text,
    p_detail    jsonb
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_worker(p_worker_id);

    if (p_state in ('running', 'degraded', 'draining')) is not true then
        perform bus.refuse_argument('the state', 'running, degraded or draining');
    end if;

    if bus.may_write() then
        update bus.workers as w
        set state = p_state,
            detail = bus.clip_json(p_detail, 8192),
            heartbeat_at = bus.clock()
        where w.worker_id = p_worker_id;
    end if;
end;
$$;

comment on function api.heartbeat is
    'Says that a worker lives: state running, degraded or draining, and what it says of itself in at most 8 kB. What '
    'a strategy says beyond its writes of a minute is not kept. Raises TRI01, TRI04.';

create or replace function api.stop_worker(p_worker_id bigint)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_worker(p_worker_id);

    if bus.may_write() then
        update bus.workers as w
        set state = 'stopped',
            stopped_at = bus.clock()
        where w.worker_id = p_worker_id;
    end if;
end;
$$;

comment on function api.stop_worker is 'The worker''s goodbye. Raises TRI04.';

create or replace function api.log_error(
    p_worker_id bigint,
    p_sqlstate  text,
    p_message   text,
    p_detail    jsonb
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not bus.may_write() then
        return null;
    end if;

    -- Whoever says so: that the database was not started here is looked at, not believed.
    perform api.raise_incident(
        'not_started_here', current_database(), jsonb_build_object('message', left(p_message, 2000))
    )
    from bus.instance as n
    where p_sqlstate = 'TRH01' and not bus.is_home(n);

    return bus.record_event(
        case when p_sqlstate like 'TR%' then 'refusal' else 'error' end,
        p_worker_id,
        left(coalesce(p_sqlstate, 'unknown'), 20),
        null,
        jsonb_build_object('message', left(p_message, 2000), 'detail', bus.clip_json(p_detail, 8192))
    );
end;
$$;

comment on function api.log_error is
    'Remembers an error or refusal whose own transaction was rolled back; returns the event''s id, null for what a '
    'strategy says beyond its writes of a minute.';
