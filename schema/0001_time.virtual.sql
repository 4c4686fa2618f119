-- 0001_time, virtual: a replay or test database obeys the setting aegis.now, so that the same rules run
-- a recorded day in seconds.  Without the setting both functions read the real clock.

create or replace function bus.now()
returns timestamptz
language sql
stable
parallel safe
begin atomic
    select coalesce(nullif(current_setting('aegis.now', true), '')::timestamptz, statement_timestamp());
end;

create or replace function bus.clock()
returns timestamptz
language sql
volatile
parallel safe
begin atomic
    select coalesce(nullif(current_setting('aegis.now', true), '')::timestamptz, clock_timestamp());
end;

comment on function bus.now() is
    'The time of this statement, or the setting aegis.now: what rules about time ask.';
comment on function bus.clock() is
    'The time at this instant, or the setting aegis.now: what to ask after waiting for a lock.';
