"""What `api` accepts: bounds, nulls and rates; and a bad row stops no other."""

from tests.mutations.kinds import Mutation, code, constraint, rule, trigger

ODD_FILL = "test_fact_bounds.py::test_a_fill_out_of_bounds_is_an_incident"
ODD_TOTAL = "test_fact_bounds.py::test_a_total_out_of_bounds_is_an_incident"
ODD_PRICE = "test_fact_bounds.py::test_a_price_out_of_bounds_is_quarantined"
ODD_RULE = "test_row_bounds.py::test_a_rule_out_of_bounds_is_not_stored"
HUGE_REASON = "test_call_bounds.py::test_a_reason_of_268_megabytes_is_refused"

MUTATIONS: tuple[Mutation, ...] = (
    rule(
        "bound",
        "trade.intent_fault",
        "within_bounds",
        "test_row_bounds.py::test_an_intent_out_of_bounds_is_not_stored",
    ),
    rule(
        "bound",
        "trade.order_fault",
        "within_bounds",
        "test_row_bounds.py::test_an_order_out_of_bounds_is_not_stored",
    ),
    trigger(
        "bound",
        "strategy.picks",
        "_120_within_bounds",
        "test_row_bounds.py::test_a_pick_out_of_bounds_is_not_stored",
    ),
    constraint("bound", "strategy.strategies", "strategies_money_bounded", ODD_RULE),
    constraint("bound", "risk.limits", "limits_value_bounded", ODD_RULE),
    constraint("bound", "market.instruments", "instruments_rules_bounded", ODD_RULE),
    code("bound", "bus.is_amount", "min_scale(p_value) <= 18", "true", ODD_FILL),
    code("bound", "bus.is_amount", "< '1000000000000000000'::numeric", "is not null", ODD_FILL),
    code("bound", "bus.is_text", "<= p_most", "<= 2000000000", HUGE_REASON),
    code(
        "bound",
        "api.record_cumulative",
        "bus.is_amount(p_quantity) and bus.is_amount(p_notional)",
        "true",
        ODD_TOTAL,
    ),
    code("bound", "market.is_quote", "<= 18", ">= 0", ODD_PRICE),
    code("bound", "market.is_quote", "< '1000000000000000000'::numeric", "< 'Infinity'::numeric", ODD_PRICE),
    code("bound", "market.is_trade", "<= 18", ">= 0", ODD_PRICE),
    code(
        "bound",
        "market.is_timely",
        "((p_seq >= 0) AND (p_seq <= '9000000000000000000'::bigint))",
        "true",
        "test_fact_bounds.py::test_a_sequence_number_at_the_end_of_its_type_does_not_end_the_feed",
    ),
    code(
        "bound",
        "trade.unused_broker_order_id",
        "bus.is_text(p_broker_order_id, 200) is false",
        "false",
        "test_fact_bounds.py::test_an_order_number_too_long_to_keep_is_an_incident",
    ),
    code(
        "bound",
        "trade.activate_replacement",
        "bus.is_amount(p_quantity)",
        "true",
        "test_fact_bounds.py::test_a_quantity_that_an_amend_cannot_have_is_not_believed",
    ),
    code(
        "bound",
        "api.create_intent",
        "starts_with(p_idempotency_key, 'aegis:')",
        "false",
        "test_row_bounds.py::test_no_key_of_a_person_stands_in_the_way_of_a_stop",
    ),
    code(
        "bound",
        "trade.fire_exits",
        "'aegis:exit",
        "'exit",
        "test_row_bounds.py::test_no_key_of_a_person_stands_in_the_way_of_a_stop",
    ),
    code(
        "bound",
        "api.create_intent",
        "bus.require_duration(",
        "concat(",
        "test_row_bounds.py::test_a_time_to_live_is_above_zero_and_has_an_end",
    ),
    *(
        code(
            "item",
            function,
            "if bus.concerns_all(sqlstate) then",
            "if true then",
            f"test_failed_items.py::{test}",
        )
        for function, test in (
            ("api.route_picks", "test_a_pick_that_fails_is_refused_and_the_others_are_routed"),
            ("trade.open_intents_apart", "test_a_stop_that_fails_stops_no_other"),
            ("trade.lease_orders", "test_a_cancel_that_cannot_be_lent_keeps_no_other_from_the_broker"),
            (
                "trade.store_amends_one_by_one",
                "test_an_amend_that_cannot_be_stored_keeps_no_other_from_the_broker",
            ),
            ("api.claim_intents", "test_an_intent_that_cannot_be_claimed_keeps_no_other_from_the_broker"),
            (
                "trade.store_claims_one_by_one",
                "test_an_intent_that_cannot_be_claimed_keeps_no_other_from_the_broker",
            ),
            ("trade.escalate_stops", "test_a_resting_sell_that_cannot_be_escalated_stops_no_other"),
            ("api.expire_due", "test_an_intent_that_cannot_expire_keeps_no_other_alive"),
            ("api.enforce_modes", "test_an_intent_that_cannot_end_under_a_mode_keeps_no_other_alive"),
            ("api.measure_equity", "test_an_account_that_cannot_be_measured_hides_no_other"),
            ("api.paper_match", "test_a_paper_order_that_fails_keeps_no_other_waiting"),
            ("trade.correct_account", "test_a_holding_that_cannot_be_corrected_leaves_the_others_corrected"),
            ("trade.release_unsent_intents", "test_an_intent_that_cannot_be_shed_refuses_no_fact"),
            (
                "trade.expire_waiting",
                "test_an_intent_that_cannot_be_ended_does_not_stand_in_the_way_of_an_adoption",
            ),
        )
    ),
    code(
        "item",
        "trade.fire_exits_to_claim",
        "if bus.concerns_all(sqlstate) then",
        "if true then",
        "test_claims_fire.py::test_an_exit_that_cannot_fire_keeps_nothing_from_being_claimed",
    ),
    code(
        "item",
        "trade.fire_exits_to_claim",
        "if bus.concerns_all(sqlstate) then",
        "if false then",
        "test_claims_fire.py::test_a_server_in_trouble_is_no_trouble_of_an_exit",
    ),
    code(
        "item",
        "api.run_due_jobs",
        "if bus.concerns_all(sqlstate) then",
        "if true then",
        "test_failed_items.py::test_a_job_that_fails_is_due_again_after_its_time_and_the_others_run",
    ),
    code(
        "item",
        "api.route_picks",
        "if bus.concerns_all(sqlstate) then",
        "if false then",
        "test_failed_items.py::test_an_error_of_the_server_is_no_pick_of_anybodys",
    ),
    code(
        "null",
        "strategy.tradable_instrument",
        "(p_symbol = any(p_strategy.symbols)) is not true",
        "p_symbol <> all(p_strategy.symbols)",
        "test_picks.py::test_a_null_in_the_list_lets_nothing_through",
    ),
    constraint(
        "null",
        "strategy.strategies",
        "strategies_symbols_whole",
        "test_picks.py::test_no_writer_leaves_a_hole_in_the_list_of_symbols",
    ),
    code(
        "null",
        "strategy.size_pick",
        "NULLS FIRST",
        "",
        "test_picks.py::test_a_bound_that_cannot_be_computed_lets_nothing_through",
    ),
    code(
        "null",
        "api.create_intent",
        "p_owner is distinct from 'manual'",
        "p_owner <> 'manual'",
        "test_picks.py::test_an_owner_that_is_null_is_no_owner",
    ),
    code(
        "null",
        "trade.check_fence",
        "is distinct from p_fence",
        "<> p_fence",
        "test_doubts.py::test_an_answer_without_a_fence_is_refused",
    ),
    code(
        "null",
        "api.safe",
        "in ('NORMAL', 'SAFE') is not true",
        "= 'HALT'",
        "test_mode_changes.py::test_safe_does_not_weaken_a_mode_nobody_knows",
    ),
    code(
        "rate",
        "strategy.next_pick_turn",
        "v_rate.tokens < 0",
        "false",
        "test_pick_rates.py::test_six_hundred_picks_a_minute_and_no_more",
    ),
    code(
        "rate",
        "strategy.next_pick_turn",
        "v_waiting >= v_rate.most_waiting",
        "false",
        "test_pick_rates.py::test_the_hundred_and_first_waiting_pick_is_refused",
    ),
    code(
        "rate",
        "api.propose",
        "if not exists (\n        select from strategy.picks",
        "if true or not exists (\n        select from strategy.picks",
        "test_pick_rates.py::test_a_pick_that_is_known_takes_nobodys_place",
    ),
    code(
        "rate",
        "strategy.lock_picks_in_turn",
        "order by t.turn, t.pick_id",
        "order by t.pick_id",
        "test_pick_rates.py::test_the_router_takes_turns",
    ),
)
