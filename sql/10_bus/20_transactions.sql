-- 20_transactions: rules for transactions (durable commits, read committed), and which errors concern more than the
-- item being processed.

create or replace function bus.make_durable()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Not in a replay: it can be run again, and it commits faster than a disk can confirm.
    if exists (select from bus.instance as n where n.kind <> 'replay') then
        perform set_config('synchronous_commit', 'on', true);
    end if;
end;
$$;

comment on function bus.make_durable is
    'Turns synchronous_commit on for this transaction, whatever the session or server sets: once committed, it is on '
    'disk. A replay is exempt.';

create or replace function bus.require_read_committed(p_what text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'isolation level % could miss %', current_setting('transaction_isolation'), p_what
            using errcode = 'TRM02',
                  hint = 'Use read committed.';
    end if;
end;
$$;

comment on function bus.require_read_committed is
    'Refuses a transaction whose snapshot is older than its statement, that is, any isolation level but read '
    'committed. Raises TRM02.';

create or replace function bus.concerns_all(p_sqlstate text)
returns boolean
language sql
immutable
parallel safe
begin atomic
    -- 40 deadlock and serialization, 53 insufficient resources, 57 operator intervention, 58 system error (such as a
    -- broken disk), 55P03 lock not available.
    select left(p_sqlstate, 2) in ('40', '53', '57', '58') or p_sqlstate = '55P03';
end;

comment on function bus.concerns_all is
    'Whether an error concerns the session or the server, not just the item being processed. The caller then raises '
    'it again.';
