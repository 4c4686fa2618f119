"""Rules that are rows: triggers, exit rules and bounds of a pick."""

from tests.mutations.kinds import Mutation, code, constraint, trigger, view

TRIGGERS = "test_triggers.py::test_"
ODD_RULE = "test_row_bounds.py::test_a_rule_out_of_bounds_is_not_stored"
ENOUGH = TRIGGERS + "enough_true_samples_in_a_row_enter_the_mode_with_their_evidence"
PRIORITY = "test_exits.py::test_of_a_stop_and_a_target_reached_at_once_the_stop_gives_the_reason"

REACHED = "test_reached.py::test_"

MUTATIONS: tuple[Mutation, ...] = (
    code(
        "L12",
        "api.prices_reach",
        "b.bid <= x.sell_below or b.bid >= x.sell_above",
        "false",
        REACHED + "a_bid_at_or_beyond_a_trigger_is_reached",
    ),
    code(
        "L12",
        "api.prices_reach",
        "where d.symbol = any(p_symbols)",
        "where false",
        REACHED + "a_bid_at_or_beyond_a_trigger_is_reached",
    ),
    code(
        "L12",
        "api.prices_reach",
        "where s.symbol = any(p_symbols)",
        "where false",
        REACHED + "a_resting_sell_whose_stop_is_reached_is_found",
    ),
    constraint("bound", "trade.exit_rules", "exit_rules_value_bounded", ODD_RULE),
    constraint("bound", "risk.triggers", "triggers_threshold_bounded", ODD_RULE),
    trigger(
        "rule", "risk.triggers", "_200_check_measure", TRIGGERS + "a_trigger_without_its_measure_is_refused"
    ),
    view("rule", "risk.triggers_due", "s.samples >= t.samples", "true", ENOUGH),
    view(
        "rule",
        "risk.triggers_due",
        "s.true_since <= (bus.clock() - t.lasting)",
        "true",
        TRIGGERS + "it_must_last_as_long_as_its_row_says",
    ),
    view(
        "rule",
        "risk.triggers_due",
        "s.fired_at < s.true_since",
        "true",
        TRIGGERS + "it_fires_again_only_after_it_has_been_false",
    ),
    view("rule", "risk.triggers_due", "m.severity >", "0 <=", TRIGGERS + "it_never_makes_a_mode_milder"),
    code(
        "rule",
        "risk.sample_triggers",
        "THEN (s.samples + 1)",
        "THEN (s.samples + 2)",
        ENOUGH,
    ),
    code(
        "rule",
        "risk.sample_triggers",
        "WHERE (s.measured_at <= (excluded.measured_at - '00:00:01'::interval))",
        "",
        TRIGGERS + "sixteen_sessions_at_once_fire_it_once",
    ),
    code(
        "rule",
        "api.evaluate_triggers",
        "perform risk.note_failed_item('evaluate_triggers', format('measure %s', v_measure)"
        ", sqlstate, sqlerrm);",
        "raise;",
        TRIGGERS + "a_measure_that_fails_disables_no_other",
    ),
    code(
        "rule",
        "strategy.size_pick",
        "(array_agg(b.quantity ORDER BY b.quantity NULLS FIRST, b.bound))[1]",
        "max(b.quantity)",
        "test_gates.py::test_the_tightest_bound_counts_and_is_recorded",
    ),
    code("rule", "trade.lock_due_exits", ", d.priority", ", d.priority desc", PRIORITY),
)
