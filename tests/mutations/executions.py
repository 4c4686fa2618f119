"""L7: an execution counts once, and a report that matches nothing is kept."""

from tests.mutations.kinds import Mutation, code, constraint
from tests.mutations.names import EXECUTIONS, FILLS, UNMATCHED

ONE_EXECUTION = "test_executions.py::test_an_execution_written_by_hand_is_one_of_its_order_and_of_its_day"

MUTATIONS: tuple[Mutation, ...] = (
    code(
        "L7",
        "trade.known_fill",
        "f.order_id = p_order.order_id or ",
        "",
        EXECUTIONS + "an_execution_reported_on_both_sides_of_midnight_counts_once",
    ),
    code(
        "L7",
        "trade.answer_to_known_fill",
        "trade.is_repeat_of_busted_fill(p_known, p_quantity, p_notional)",
        "false",
        EXECUTIONS + "a_busted_execution_reported_otherwise_is_recorded_and_uses_up_no_more_of_its_order",
    ),
    code(
        "L7",
        "trade.apply_fill",
        "p_quantity - v_corrected",
        "p_quantity",
        EXECUTIONS + "a_busted_execution_reported_otherwise_is_recorded_and_uses_up_no_more_of_its_order",
    ),
    code(
        "L7",
        "trade.apply_cumulative_fill",
        "and not trade.is_busted(m.fill_id)",
        "",
        EXECUTIONS + "a_total_after_a_bust_counts_from_what_is_left",
    ),
    code(
        "L7",
        "trade.keep_unmatched",
        "case when v_nth > 1",
        "case when false",
        UNMATCHED + "each_different_fact_that_fits_nothing_is_kept_and_repeats_are_counted",
    ),
    code(
        "L7",
        "trade.shorten_facts",
        "<= 1000",
        "<= 1000000000",
        UNMATCHED + "a_fact_of_any_length_is_kept_in_little_room",
    ),
    *(
        constraint("L7", FILLS, f"fills_{name}", ONE_EXECUTION)
        for name in (
            "broker_fill_key",
            "order_fill_key",
            "revision_not_negative",
            "corrected_within_quantity",
        )
    ),
    code(
        "L7",
        "trade.known_fill",
        " or not p_is_time_told or not f.is_time_told",
        "",
        EXECUTIONS + "an_execution_without_a_time_reported_of_parent_and_child_counts_once",
    ),
)
