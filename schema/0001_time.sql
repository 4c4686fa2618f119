-- 0001_time: what time it is.  Column defaults use these two functions, so they stand here and not
-- in sql/: the one exception to "functions are re-applied".  This is the live body: it reads the real
-- clock and nothing else.  0001_time.virtual.sql takes its place in a replay or test database.

create or replace function bus.now()
returns timestamptz
language sql
stable
parallel safe
begin atomic
    select statement_timestamp();
end;

create or replace function bus.clock()
returns timestamptz
language sql
volatile
parallel safe
begin atomic
    select clock_timestamp();
end;

comment on function bus.now() is
    'The time of this statement: what rules about time ask. Never use now(): it is the time the transaction began.';
comment on function bus.clock() is
    'The time at this instant: what to ask after waiting for a lock.';
