-- 60_health: what is wrong with the processes now, as rows that `aegis status`, `aegis doctor` and the live page read.
-- The rows describe others (the age of heartbeats and prices): that a session can read does not show that any can
-- write.

create or replace view api.health as
with newest as (
    -- The latest process of each login; expected leaves out those that stopped properly or should not run.
    select distinct on (w.login) w.*
    from bus.workers as w
    order by w.login asc, w.worker_id desc
),

expected as (
    select
        n.*,
        starts_with(n.login, 'aegis_w_') as is_core,
        bus.worker_is_alive(n.worker_id) as holds_lock,
        bus.has_beaten(n.heartbeat_at, n.detail) as beats
    from newest as n
    where n.state <> 'stopped'
      and (n.detail <> '{}' or bus.worker_is_alive(n.worker_id))  -- otherwise it never began to work
      and (
          starts_with(n.login, 'aegis_w_')
          or exists (
              select
              from strategy.strategies as s
              where n.login = 'aegis_s_' || s.strategy and s.status = 'RUNNING'
          )
      )
),

core as (
    select
        count(*) as total,
        count(*) filter (where e.holds_lock) as locked,
        count(*) filter (where e.holds_lock and e.beats) as alive,
        max(e.heartbeat_at) as last_at
    from expected as e
    where e.is_core
)

-- A standby, or a setting that makes every new worker session read-only.
select 'fail' as state, 'database' as subject, r.problem, null::timestamptz as since
from (
    select 'takes no writes: it is a standby' as problem where pg_is_in_recovery()
    union all
    select format('takes no writes: default_transaction_read_only is on for %s', case
        when s.setrole <> 0 then s.setrole::regrole::text
        when s.setdatabase <> 0 then 'this database'
        else 'all'
    end)
    from pg_catalog.pg_db_role_setting as s
    where 'default_transaction_read_only=on' = any(s.setconfig)
      and (s.setdatabase = 0 or s.setdatabase = (
          select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
      ))
      and (s.setrole = 0 or starts_with(s.setrole::regrole::text, 'aegis_'))
    union all
    select 'takes no writes: default_transaction_read_only is on in the server''s configuration'
    from pg_catalog.pg_settings as g
    where g.name = 'default_transaction_read_only' and g.setting = 'on'
      and g.source in ('configuration file', 'command line')
) as r
union all
select 'fail', 'database', 'nothing was written', c.last_at
from core as c
where c.locked > 0 and c.alive = 0
union all
select 'fail', 'workers', 'no worker is connected', c.last_at
from core as c
where c.total > 0 and c.locked = 0
union all
select
    'fail',
    e.name,
    case when e.holds_lock
        then format('hangs: no heartbeat (pid %s on %s)', e.pid, e.host)
        else format('ended without stopping properly (pid %s on %s)', e.pid, e.host)
    end,
    e.heartbeat_at
from expected as e
cross join core as c
where c.alive > 0 and not (e.holds_lock and e.beats)
union all
-- It stopped properly and nobody started it again.
select 'fail', n.name, 'does not run', n.stopped_at
from newest as n
join expected as s on s.login = 'aegis_w_supervisor' and s.state = 'running' and s.holds_lock and s.beats
where starts_with(n.login, 'aegis_w_')
  and n.stopped_at > s.started_at
  and n.stopped_at < bus.clock() - interval '15 s'
union all
select
    'fail',
    e.name,
    'cannot work: ' || left(e.detail -> 'trouble' ->> 'reason', 200),
    e.heartbeat_at - make_interval(secs => least((e.detail -> 'trouble' ->> 'seconds')::float8, 1e9))
from expected as e
where e.is_core and e.holds_lock and e.beats and jsonb_typeof(e.detail -> 'trouble') = 'object'
union all
select 'fail', 'feed ' || f.feed, 'is connected but sends nothing', f.last_heard_at
from market.feeds as f
cross join core as c
where f.status = 'CONNECTED' and c.total > 0 and f.last_heard_at < bus.clock() - f.max_silence
union all
select 'warn', 'strategy ' || s.strategy, 'waits to start: ' || w.reason, w.since
from strategy.waits as w
join strategy.strategies as s on s.strategy = w.strategy
cross join core as c
where s.status = 'RUNNING' and c.alive > 0;

comment on view api.health is
    'What is wrong with processes and prices now; no row when everything that should run does. state is fail or warn; '
    'since is when it was last right, null when that is unknown.';
