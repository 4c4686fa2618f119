-- 36_rate_limits: token buckets that limit how many orders a broker is sent.  api.claim_intents takes the tokens.

create or replace function bus.tokens_now(p_limit bus.rate_limits)
returns numeric
language sql
volatile
begin atomic
    select least(
        p_limit.burst,
        p_limit.tokens + p_limit.per_second * abs(extract(epoch from bus.clock() - p_limit.refilled_at))
    );
end;

comment on function bus.tokens_now is
    'Tokens in a bucket at this instant. If the clock was put back the bucket fills up; otherwise it would give '
    'none until the old time is reached.';
