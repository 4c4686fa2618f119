-- 46_migrations: workers pause while a migration runs. They trust the migrator's lock, never a notification.

create or replace function api.migration_is_running()
returns boolean
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    -- The advisory lock of cli/database/migrate.py. Other logins can take advisory locks too, so the holder must be
    -- one that may deploy.
    select exists (
        select
        from pg_catalog.pg_locks as l
        join pg_catalog.pg_stat_activity as a on a.pid = l.pid
        where l.locktype = 'advisory'
          and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
          and l.classid = 0
          and l.objid = 11428176  -- 0xAE6150
          and l.objsubid = 1
          and l.granted
          and pg_has_role(a.usesysid, 'aegis_owner', 'MEMBER')
    );
end;

comment on function api.migration_is_running is
    'Whether a login that may deploy holds the deployment lock: workers then wait for its release, for a bounded '
    'time.';
