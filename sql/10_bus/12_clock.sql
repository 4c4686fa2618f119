-- 12_clock: comparing stored times with the clock, which may be set back.

create or replace function bus.is_over(
    p_until timestamptz,
    p_most  interval
)
returns boolean
language sql
volatile
begin atomic
    -- A wait is never longer than p_most: an end further ahead was set by a clock that has been put back since.
    select p_until <= bus.clock() or p_until > bus.clock() + p_most;
end;

comment on function bus.is_over is
    'Whether a wait has ended that was for at most so long; the machine''s clock may have been put back meanwhile. '
    'Null for null.';
