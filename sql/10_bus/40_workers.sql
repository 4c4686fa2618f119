-- 40_workers: worker processes: registration, session lock, heartbeat, stop, and error reports.

-- Advisory locks are keyed by (class, id), so that two uses cannot collide by chance.
create or replace function bus.worker_lock_class()
returns integer
language sql
immutable
parallel safe
begin atomic
    select 1634036841;
end;

comment on function bus.worker_lock_class is
    'First key of the session advisory lock that a worker holds; the second key is its worker id.';

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
    'Whether the worker still holds its session lock, so that its process exists. Only a hint: the lease and the '
    'fence decide.';

-- A heartbeat is due every two seconds, so one that is eight seconds old means three were missed. Before the first
-- heartbeat a process loads its code, which may take a while. A heartbeat from the future was written before the
-- clock was set back.
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
    'Whether a worker has missed fewer than three heartbeats, given the time and the detail of its last one.';

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

comment on function bus.require_worker is
    'Refuses a worker id that this login has not registered or that has stopped. Raises TRI04.';

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
    'Registers a worker process; returns the id under which it claims work. A restarted process gets a new id. '
    'Raises TRI01, TRI04, TRX01.';

create or replace function bus.forget_workers()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- No order refers to a strategy's worker, so its row is needed nowhere else.
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

comment on function bus.forget_workers is
    'Deletes old worker rows of this login; keeps the 50 newest and every worker that is alive.';

create or replace function api.hold_worker_lock(p_worker_id bigint)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_worker(p_worker_id);

    -- The whole server shares one lock table: if a session could fill it, nobody else would get a lock.
    if exists (
        select
        from pg_locks as l
        where l.pid = pg_backend_pid()
          and l.locktype = 'advisory'
          and l.classid = bus.worker_lock_class()::oid
          and l.objid <> p_worker_id::oid
    ) then
        raise exception 'this session holds the lock of another worker'
            using errcode = 'TRI04', hint = 'Each worker process needs its own connection: open another connection.';
    end if;

    return pg_try_advisory_lock(bus.worker_lock_class(), p_worker_id::integer);
end;
$$;

comment on function api.hold_worker_lock is
    'Takes the worker''s session lock on this connection, so that PostgreSQL shows everyone at once when it dies. '
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
    'Records that a worker is alive: its state (running, degraded or draining) and a detail of at most 8 kB. '
    'Heartbeats beyond a strategy''s writes per minute are not stored. Raises TRI01, TRI04.';

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

comment on function api.stop_worker is 'Records that a worker has stopped. Raises TRI04.';

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

    -- Any caller can report TRH01: check that the database is not home before opening an incident.
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
    'Records an error or refusal whose own transaction was rolled back; returns the event id. Null when it is not '
    'stored, because a strategy has used up its writes of this minute.';
