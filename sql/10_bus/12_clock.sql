-- 12_clock: comparing stored times with the clock, which may be set back.

create or replace function bus.is_over(
    p_until timestamptz,
    p_most  interval
)
returns boolean
language sql
volatile
begin atomic
    -- A wait is never longer than p_most, so an end further ahead was set before the clock was set back.
    select p_until <= bus.clock() or p_until > bus.clock() + p_most;
end;

comment on function bus.is_over is
    'Whether a wait of at most p_most has ended, even if the machine''s clock was set back meanwhile. Null for null.';
