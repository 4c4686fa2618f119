-- 20_transactions: what a transaction must be like: durable, and reading what was committed last; and which errors
-- concern more than the item at hand.

create or replace function bus.make_durable()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A replay can be made again, and writes faster than a disk can confirm.
    if exists (select from bus.instance as n where n.kind <> 'replay') then
        perform set_config('synchronous_commit', 'on', true);
    end if;
end;
$$;

comment on function bus.make_durable is
    'Whatever the session or the server says of synchronous_commit: this transaction is on disk when it has '
    'committed.';

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
    'Refuses a transaction whose snapshot is older than its statement. Raises TRM02.';

create or replace function bus.concerns_all(p_sqlstate text)
returns boolean
language sql
immutable
parallel safe
begin atomic
    -- Deadlock and serialization, no resources, intervention, a lock that was not to be had, a broken disk.
    select left(p_sqlstate, 2) in ('40', '53', '57', '58') or p_sqlstate = '55P03';
end;

comment on function bus.concerns_all is
    'Whether an error is about the session or the server and not about the item at hand: it is raised again.';
