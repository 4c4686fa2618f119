-- 78_exit_rules: one view for each reason to leave a position.  It says at which bids the position is sold: at or below
-- sell_below, or at or above sell_above; null for never.  A new reason is such a view and a row of trade.exit_kinds.

create or replace view trade.exit_on_stop_loss as
select
    e.account_id,
    e.instrument_id,
    e.owner,
    e.stop_price as sell_below,
    null::numeric as sell_above
from trade.position_exits as e
where e.is_armed;

comment on view trade.exit_on_stop_loss is 'Armed positions and the stop price, which arm_exits sets at each fill.';

create or replace view trade.exit_on_take_profit as
select
    e.account_id,
    e.instrument_id,
    e.owner,
    null::numeric as sell_below,
    e.take_price as sell_above
from trade.position_exits as e
where e.is_armed;

comment on view trade.exit_on_take_profit is 'Armed positions and the target price, which arm_exits sets at each fill.';

create or replace function trade.rate_of(
    p_profile text,
    p_reason  text
)
returns numeric
language sql
stable
begin atomic
    select r.value from trade.exit_rules as r where r.profile = p_profile and r.reason = p_reason;
end;

comment on function trade.rate_of is 'The value of a rule of an exit profile; null when the profile has no such rule.';
