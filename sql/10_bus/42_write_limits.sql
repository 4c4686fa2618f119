-- 42_write_limits: how often a strategy may write.  This bounds what it can leave behind in a minute (rows, dead
-- rows, locks of subtransactions), whatever it calls and however it rolls back or nests savepoints.

create or replace function bus.may_write()
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    c_most     constant bigint := 120;
    c_room     constant bigint := 1000000000;
    v_minute   bigint;
    v_sequence regclass;
    v_count    bigint;
begin
    if session_user not like 'aegis\_s\_%' then
        return true;
    end if;

    -- A rollback does not reset a sequence, and nextval locks and writes next to nothing. Its value is the minute,
    -- followed by the number of the write in that minute.
    v_minute := extract(epoch from bus.clock())::bigint / 60;
    v_sequence := coalesce(
        to_regclass(format('bus.%I', 'writes_of_' || substr(session_user, 9))), 'bus.writes_of_others'
    );
    v_count := nextval(v_sequence);

    if v_count / c_room <> v_minute then
        perform setval(v_sequence, v_minute * c_room + 1);
        return true;
    end if;

    return v_count % c_room <= c_most;
end;
$$;

comment on function bus.may_write is
    'Counts a write of this login and returns whether it may be stored: a strategy may write 120 times a minute, '
    'other logins are not limited.';

create or replace function strategy.tg_strategies__count_writes()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('create sequence bus.%I minvalue 0', 'writes_of_' || new.strategy);
    return null;
end;
$$;

comment on function strategy.tg_strategies__count_writes is
    'Creates the sequence that counts the writes of a new strategy.';

create or replace trigger _800_count_writes
after insert on strategy.strategies
for each row execute function strategy.tg_strategies__count_writes();
