"""L8: prices, their sides and rounding; also the bounds of numbers."""

from tests.mutations.kinds import Mutation, code, constraint, trigger, view
from tests.mutations.names import CASH

STALE = "test_prices.py::test_a_stale_price_fires_nothing_and_prices_nothing"
QUARANTINE = "test_prices.py::test_what_cannot_be_a_quote_is_quarantined_and_the_rest_of_its_batch_is_not"
FUTURE = "test_clock.py::test_neither_half_of_a_price_may_be_of_the_future"
PRICES = "market.prices_best"
EACH_SIDE = "test_sides.py::test_each_side_is_traded_on_when_it_is_sound"
OUT_SIDE = "test_sides.py::test_a_side_outside_the_limits_of_the_day_is_not_sound_and_the_other_may_be"
SIDES_STORED = "test_sides.py::test_the_sides_stored_make_sense"
NO_BID = "test_sides.py::test_at_the_lower_limit_nobody_bids_no_stop_can_fire_and_that_is_shown"
MARKS = "test_sides.py::test_a_mark_is_never_above_the_sound_ask_nor_below_the_sound_bid"
AT_ITS_PRICE = "test_matching.py::test_an_open_order_may_have_news_at_a_price_it_trades_at"
AWAY = "test_rounding.py::test_stop_and_target_are_rounded_away_from_the_trade"
NO_GRID = "test_universe.py::test_a_tick_table_that_makes_no_grid_is_refused"
FINITE = "test_universe.py::test_no_writer_makes_a_step_that_is_no_number"
JUDGED = "market.judge_quotes"
FRESH = "when 'BUY' then v_quote.is_fresh else v_quote.is_fresh"

MUTATIONS: tuple[Mutation, ...] = (
    code(
        "L8",
        "market.write_quotes",
        "(excluded.quote_ts, excluded.received_seq) > (b.quote_ts, b.received_seq)",
        "true",
        "test_prices.py::test_the_newest_quote_is_best_in_whatever_order_and_batches_they_come",
    ),
    code(
        "L8",
        "api.ingest_trades",
        "(excluded.trade_ts, excluded.trade_seq) > (b.trade_ts, b.trade_seq)",
        "true",
        "test_prices.py::test_the_newest_trade_is_last_in_whatever_order_they_come",
    ),
    code("L8", "market.is_timely", "(p_ts <= (p_now + '00:00:02'::interval))", "true", QUARANTINE),
    view("L8", "market.quotes_now", "f.status = 'CONNECTED'::text", "true", STALE),
    view("L8", "market.quotes_now", "f.last_heard_at >=", "now() >=", STALE),
    view("L8", "market.quotes_now", "LEAST(b.quote_ts, b.received_at) >=", "now() >=", STALE),
    view("L8", "market.quotes_now", "f.last_heard_at <=", "'-infinity' <=", FUTURE),
    view("L8", "market.quotes_now", "b.received_at <=", "'-infinity' <=", FUTURE),
    code("L8", JUDGED, "((NOT g.has_ask) OR (g.bid <= g.ask))", "true", EACH_SIDE),
    code("L8", JUDGED, "((NOT g.has_bid) OR (g.bid <= g.ask))", "true", EACH_SIDE),
    code("L8", JUDGED, "(NOT g.has_ask) OR", "", EACH_SIDE),
    code("L8", JUDGED, "(NOT g.has_bid) OR", "", EACH_SIDE),
    code(
        "L8",
        JUDGED,
        "(((g.bid < g.limit_low) OR (g.bid > g.limit_high)) IS NOT TRUE)",
        "true",
        OUT_SIDE,
    ),
    code(
        "L8",
        JUDGED,
        "(((g.ask < g.limit_low) OR (g.ask > g.limit_high)) IS NOT TRUE)",
        "true",
        OUT_SIDE,
    ),
    constraint("L8", PRICES, "prices_best_sides_are_whole", SIDES_STORED),
    constraint("L8", PRICES, "prices_best_sound_is_there_and_not_crossed", SIDES_STORED),
    code(
        "L8",
        "trade.why_unpriced",
        "END IS NOT TRUE",
        "END IS NULL AND false",
        STALE,
    ),
    code("L8", "trade.why_unpriced", "THEN (p_quote).can_buy", "THEN (p_quote).is_fresh", EACH_SIDE),
    code("L8", "trade.why_unpriced", "ELSE (p_quote).can_sell", "ELSE (p_quote).is_fresh", EACH_SIDE),
    code(
        "L8",
        "strategy.gate_market",
        "when 'BUY' then v_quote.can_buy else v_quote.can_sell",
        FRESH,
        "test_sides.py::test_the_second_gate_asks_for_the_side_of_the_pick",
    ),
    view(
        "L8", "paper.matchable", "s.is_sound", "true", "test_matching.py::test_an_unsound_side_fills_nothing"
    ),
    view(
        "numbers",
        "paper.matchable",
        "s.size > COALESCE(t.quantity, (0)::numeric)",
        "s.size > (0)::numeric",
        "test_matching.py::test_each_quotes_size_counts_once",
    ),
    view("L8", "paper.matchable", "s.price <= o.limit_price", "s.price >= o.limit_price", AT_ITS_PRICE),
    view("L8", "paper.matchable", "s.price >= o.limit_price", "s.price <= o.limit_price", AT_ITS_PRICE),
    view("L8", "trade.exits_blocked", "NOT q.bid_is_sound", "false", NO_BID),
    code("L8", "market.mark", "THEN p_mark", "THEN p_last", MARKS),
    code(
        "L8",
        "trade.why_unpriced",
        "(p_quote).source IS DISTINCT FROM 'live'::text",
        "false",
        "test_prices.py::test_a_real_broker_believes_only_live_prices",
    ),
    code("numbers", "trade.arm_exits", "'BUY'::text", "'SELL'::text", AWAY),
    code(
        "numbers",
        "paper.match_order",
        "trunc(v_qty * v_match.price * v_fees.taker_rate, 8)",
        "round(v_qty * v_match.price * v_fees.taker_rate, 8)",
        "test_sides.py::test_a_paper_order_pays_at_most_what_was_reserved_for_it",
    ),
    code(
        "numbers",
        "trade.measure_equity",
        "case when e.is_flagged then coalesce(l.peak, e.equity) else greatest(e.equity, l.peak) end",
        "greatest(e.equity, l.peak)",
        "test_flows.py::test_a_stale_mark_makes_no_peak",
    ),
    trigger(
        "numbers",
        CASH,
        "_400_carry_equity",
        "test_flows.py::test_a_withdrawal_raises_neither_the_drawdown_nor_the_loss_of_the_day",
    ),
    code(
        "numbers",
        "api.add_instrument",
        "bus.is_amount(p_lot_size) and p_lot_size > 0 and bus.is_amount(p_min_notional)",
        "p_lot_size > 0",
        "test_universe.py::test_lot_and_least_notional_are_amounts",
    ),
    code("numbers", "api.add_tick_table", "bus.is_amount(b.tick) and", "", NO_GRID),
    code("numbers", "api.add_tick_table", "and b.price % nullif(b.tick, 0) = 0", "", NO_GRID),
    code("numbers", "api.add_tick_table", "(0 = any(p_prices)) is not true", "false", NO_GRID),
    constraint("numbers", "market.tick_sizes", "tick_sizes_are_finite", FINITE),
    constraint("numbers", "market.tick_sizes", "tick_sizes_table_plain", FINITE),
    constraint(
        "numbers",
        "market.instruments",
        "instruments_symbol_plain",
        "test_universe.py::test_a_symbol_that_would_break_a_list_or_a_line_is_refused_and_the_rule_is_named",
    ),
)
