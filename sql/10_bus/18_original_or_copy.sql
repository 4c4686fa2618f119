-- 18_original_or_copy: whether this database runs where it was started.  A copy made by `create database ... template`
-- or a dump restored elsewhere holds all that the original held, so functions that hand out work ask the server itself.

create or replace function bus.server_identity()
returns text
language sql
volatile
begin atomic
    select format('%s/%s/%s', s.system_identifier, c.timeline_id, d.oid)
    from pg_control_system() as s
    cross join pg_control_checkpoint() as c
    join pg_database as d on d.datname = current_database();
end;

comment on function bus.server_identity is
    'System identifier and timeline of the server, and the oid of this database. Each of the three changes with some '
    'kind of restore.';

create or replace function bus.is_home(p_instance bus.instance)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- server_identity() reads a file of the server. Call it only if the cheap comparison fails: in a copy, in a
    -- restored dump, and after a restart of the server until the supervisor has called note_home.
    if p_instance.home_path = pg_relation_filepath('bus.instance')
        and p_instance.home_started_at = pg_postmaster_start_time()
    then
        return true;
    end if;

    return p_instance.identity = bus.server_identity();
end;
$$;

comment on function bus.is_home is
    'Whether the database is on the server and timeline, and has the oid, with which its last run began.';

create or replace function bus.note_home()
returns void
language sql
volatile
begin atomic
    update bus.instance as n
    set home_path = pg_relation_filepath('bus.instance'),
        home_started_at = pg_postmaster_start_time()
    where (n.home_path, n.home_started_at)
        is distinct from (pg_relation_filepath('bus.instance'), pg_postmaster_start_time());
end;

comment on function bus.note_home is
    'Stores the file path and server start time, so that is_home need not read the identity. The caller has already '
    'compared the identity.';

create or replace function bus.require_home()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instance bus.instance;
begin
    if exists (select from bus.instance as n where bus.is_home(n)) then
        return;
    end if;

    select n.* into strict v_instance from bus.instance as n;
    raise exception '% was not started here: %', current_database(), case v_instance.run_number
        when 0 then 'no run has begun yet'
        else format('its run began on server %s, this is %s', v_instance.identity, bus.server_identity())
    end
        using errcode = 'TRH01',
              hint =
                'Start it with aegis up. A copy or a restored backup then stays halted until aegis adopt.';
end;
$$;

comment on function bus.require_home is
    'Refuses to hand out work in a database for which begin_run has not run on this server. Raises TRH01.';
