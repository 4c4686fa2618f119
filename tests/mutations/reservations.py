"""L2 and L3: no oversell, no overspend; also the limits of an account."""

from tests.mutations.kinds import Mutation, code, constraint, rule, trigger
from tests.mutations.names import BALANCES, CASH, FACTS_KEPT, INTENTS, ORDERS, POSITIONS, STRAYS

FAULT = "trade.intent_fault"
WRONG_INTENT = "test_reservations.py::test_an_intent_that_reserves_anything_but_its_rest_is_refused"
WRONG_END = "test_reservations.py::test_an_intent_ends_and_releases_together_or_not_at_all"
WRONG_LOCK = "test_reservations.py::test_nobody_locks_more_than_there_is"
WRONG_CASH = "test_cash.py::test_a_movement_of_cash_says_what_it_is"
HOLDINGS_KEPT = "test_reservations.py::test_holdings_are_never_removed"

FREE_SELLS = "sells_of_one_position_get_what_is_free_in_the_order_asked"
FREE_CASH = "buys_of_one_account_get_its_free_cash_in_the_order_asked"
EACH_REASON = "each_request_is_refused_for_its_own_reason_and_the_others_become_intents"
SETS = "test_sets.py::test_"

MUTATIONS: tuple[Mutation, ...] = (
    code("L2", "trade.used_up", "((p_used + p_amount) <= p_free)", "true", SETS + FREE_SELLS),
    code("L2", "trade.allot_requests", "THEN 'not free'::text", "THEN NULL::text", SETS + FREE_SELLS),
    code("L3", "trade.used_up", "((p_used + p_amount) <= p_free)", "(p_amount <= p_free)", SETS + FREE_CASH),
    code(
        "L2",
        "trade.allot_requests",
        "THEN 'repeated key'::text",
        "THEN NULL::text",
        SETS + "a_key_counts_once_within_a_set_and_across_sets",
    ),
    code(
        "L2",
        "trade.tg_order_intents__reserve",
        "sum(n.reserved_qty) as quantity",
        "max(n.reserved_qty) as quantity",
        SETS + "rows_of_one_statement_sell_no_more_together_than_is_held",
    ),
    code(
        "L4",
        "trade.tg_order_intents__check_change",
        "not c.may_move",
        "false",
        SETS + "one_bad_move_among_many_refuses_all_of_them",
    ),
    code(
        "L5",
        "trade.tg_orders__check_exposure",
        ") is not true",
        ") is not true and n.order_id = (select min(m.order_id) from new_rows as m)",
        SETS + "orders_of_one_statement_are_within_their_intents_each",
    ),
    code(
        "item",
        "trade.open_intents_apart",
        "if bus.concerns_all(sqlstate) then",
        "if true then",
        SETS + "an_unexpected_error_of_one_request_refuses_that_one",
    ),
    *(
        code("L2", "trade.judge_requests", f"THEN '{reason}'::text", "THEN NULL::text", SETS + EACH_REASON)
        for reason in ("unknown type", "too little", "out of bounds")
    ),
    constraint("L2", POSITIONS, "positions_locked_within_qty", WRONG_LOCK),
    constraint("L2", POSITIONS, "positions_not_negative", WRONG_LOCK),
    rule("L2", FAULT, "terminal_iff_released", WRONG_END),
    rule("L2", FAULT, "terminal_iff_closed", WRONG_END),
    rule("L2", FAULT, "filled_iff_whole", WRONG_END),
    rule("L2", FAULT, "filled_within_quantity", WRONG_END),
    rule("L2", FAULT, "reserves_the_rest", WRONG_INTENT),
    rule("L2", FAULT, "reserves_one_side", WRONG_INTENT),
    rule("L2", FAULT, "prices_positive", WRONG_INTENT),
    rule("L2", FAULT, "limit_is_worst", WRONG_INTENT),
    rule("L2", FAULT, "overfill_not_negative", WRONG_INTENT),
    rule("L2", FAULT, "approved_together", WRONG_INTENT),
    constraint(
        "L2",
        INTENTS,
        "order_intents_idempotency_key",
        "test_decisions.py::test_a_key_written_by_hand_is_used_once",
    ),
    trigger("L2", INTENTS, "_500_reserve_new", "test_reservations.py::test_more_than_is_held_cannot_be_sold"),
    trigger(
        "L2",
        INTENTS,
        "_510_reserve_change",
        "test_releases.py::test_what_was_reserved_is_freed_once_however_an_intent_ends",
    ),
    trigger(
        "L2",
        POSITIONS,
        "_100_derive",
        "test_breaches.py::test_a_late_sell_fill_under_a_sent_order_is_a_breach_until_that_order_ends",
    ),
    trigger("L2", POSITIONS, "_120_no_delete", HOLDINGS_KEPT),
    trigger("L2", POSITIONS, "_130_no_truncate", HOLDINGS_KEPT),
    code(
        "L2",
        "trade.tg_order_intents__guard",
        "p.breach_qty > 0",
        "false",
        "test_breaches.py::test_a_late_sell_fill_under_a_sent_order_is_a_breach_until_that_order_ends",
    ),
    code(
        "L2",
        "trade.apply_fill",
        "perform trade.release_unsent_intents(",
        "perform concat(",
        "test_breaches.py::test_a_late_sell_fill_sheds_what_was_not_sent",
    ),
    code(
        "L2",
        "api.bust_fill",
        "perform trade.release_unsent_intents(",
        "perform concat(",
        "test_busts.py::test_a_bust_under_a_live_sell_breaches_and_sheds",
    ),
    code(
        "L2",
        "trade.correct_holding",
        "perform trade.release_unsent_intents(",
        "perform concat(",
        "test_corrections.py::test_a_sale_by_hand_sheds_the_sells_that_have_become_too_many",
    ),
    constraint(
        "L2",
        POSITIONS,
        "positions_stray_within_locked",
        STRAYS + "what_strays_lock_is_part_of_what_is_locked",
    ),
    constraint("L3", BALANCES, "balances_locked_within_cash", WRONG_LOCK),
    trigger(
        "L3",
        BALANCES,
        "_100_derive",
        "test_breaches.py::test_a_withdrawal_under_a_sent_order_is_a_breach_until_cash_is_back",
    ),
    trigger(
        "L3",
        BALANCES,
        "_900_record",
        "test_breaches.py::test_a_withdrawal_under_a_sent_order_is_a_breach_until_cash_is_back",
    ),
    trigger("L3", BALANCES, "_120_no_delete", HOLDINGS_KEPT),
    trigger("L3", BALANCES, "_130_no_truncate", HOLDINGS_KEPT),
    trigger("L3", CASH, "_500_add", "test_profit.py::test_a_round_trip_earns_the_difference_less_every_cost"),
    trigger("L3", CASH, "_100_append_only", FACTS_KEPT),
    trigger("L3", CASH, "_110_no_truncate", FACTS_KEPT),
    constraint("L3", CASH, "cash_entries_kind_known", WRONG_CASH),
    constraint("L3", CASH, "cash_entries_fill_iff_traded", WRONG_CASH),
    constraint("L3", CASH, "cash_entries_sign_fits", WRONG_CASH),
    code(
        "L3",
        "trade.tg_order_intents__guard",
        "b.breach_cash > 0",
        "false",
        "test_breaches.py::test_a_withdrawal_under_a_sent_order_is_a_breach_until_cash_is_back",
    ),
    code(
        "L3",
        "api.record_cash",
        "perform trade.release_unsent_intents(",
        "perform concat(",
        "test_breaches.py::test_a_withdrawal_sheds_buys_that_were_not_sent",
    ),
    code(
        "L3",
        "api.record_cash",
        "coalesce(p_kind, '') not in ('deposit', 'withdrawal', 'dividend', 'correction') or",
        "",
        "test_cash.py::test_what_is_no_movement_of_cash_is_refused",
    ),
    code(
        "L3",
        "trade.correct_account",
        "perform trade.release_unsent_intents(",
        "perform concat(",
        "test_corrections.py::test_cash_that_went_sheds_the_buys_it_was_promised_to",
    ),
    code(
        "L3",
        "market.buy_cost_rate",
        "(GREATEST(f.maker_rate, f.taker_rate) + f.buy_tax_rate)",
        "f.taker_rate",
        "test_costs.py::test_a_buy_reserves_the_dearer_commission_and_its_tax_but_not_that_of_the_sell",
    ),
    trigger(
        "L3",
        ORDERS,
        "_500_reserve_stray",
        STRAYS + "what_it_may_still_spend_is_reserved_and_a_fill_of_it_frees_its_part",
    ),
    constraint(
        "L3", BALANCES, "balances_stray_within_locked", STRAYS + "what_strays_lock_is_part_of_what_is_locked"
    ),
    code(
        "limit",
        "strategy.bound_position_share",
        "(i.quantity - i.filled_qty)",
        "(0)",
        "test_limits.py::test_two_strategies_of_one_batch_share_the_share_of_a_symbol",
    ),
    code(
        "limit",
        "strategy.bound_entries_a_day",
        "(i.side = 'BUY'::text) AND (i.closed_at IS NULL)",
        "false",
        "test_limits.py::test_the_entries_of_a_day_count_those_on_their_way",
    ),
    code(
        "limit",
        "api.route_picks",
        "trade.lock_accounts(",
        "(",
        "test_limits.py::test_limits_hold_against_sixteen_routers_at_once",
    ),
)
