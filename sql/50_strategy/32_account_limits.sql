-- 32_account_limits: the bounds that an account sets with a row of risk.limits.  No row, no such limit.

create or replace function strategy.bound_position_share(
    p_pick  strategy.picks,
    p_price numeric,
    p_rate  numeric
)
returns table (quantity numeric)
language sql
stable
begin atomic
    -- Count what is held and what is ordered, by all owners; the router has locked the account meanwhile.
    select (l.value * e.equity - coalesce((
        select sum(p.qty) * p_price
        from trade.positions as p
        where p.account_id = l.account_id and p.instrument_id = p_pick.instrument_id
    ), 0) - coalesce((
        select sum((i.quantity - i.filled_qty) * i.worst_price)
        from trade.order_intents as i
        where i.account_id = l.account_id and i.instrument_id = p_pick.instrument_id
          and i.side = 'BUY' and i.closed_at is null
    ), 0)) / p_price
    from risk.limits as l
    join trade.equities as e on e.account_id = l.account_id
    where l.account_id = p_pick.account_id and l.limit_name = 'max_position_share' and p_pick.side = 'BUY';
end;

comment on function strategy.bound_position_share is
    'What one instrument may still be of the equity of its account. Live buys count as if they were filled.';

create or replace function strategy.bound_entries_a_day(
    p_pick  strategy.picks,
    p_price numeric,
    p_rate  numeric
)
returns table (quantity numeric)
language sql
stable
begin atomic
    select 0::numeric
    from risk.limits as l
    join trade.accounts as a on a.account_id = l.account_id
    join market.venues as v on v.venue = a.venue
    where l.account_id = p_pick.account_id
      and l.limit_name = 'max_entries_per_day'
      and p_pick.side = 'BUY'
      and l.value <= (
          select count(*)
          from trade.order_intents as i
          where i.account_id = l.account_id
            and i.side = 'BUY'
            and i.filled_qty > 0
            and i.closed_at is not null
            and i.created_at >= market.day_start(v.time_zone, a.day_boundary, bus.clock())
      ) + (
          -- Each of these may still be filled.
          select count(*)
          from trade.order_intents as i
          where i.account_id = l.account_id and i.side = 'BUY' and i.closed_at is null
      );
end;

comment on function strategy.bound_entries_a_day is
    'Nothing, once the account has made as many entries since its day began as its limit allows; no bound before.';
