"""L7: a difference from the broker's holdings is corrected only when it is proved."""

from tests.mutations.kinds import Mutation, code, constraint

MUTATIONS: tuple[Mutation, ...] = (
    constraint(
        "L7",
        "trade.reconciliation_runs",
        "reconciliation_runs_answer_known",
        "test_differences.py::test_a_comparison_written_by_hand_says_what_came_of_it",
    ),
    code(
        "L7",
        "api.reconcile",
        "and v_last.differences = v_found || v_waiting",
        "",
        "test_differences.py::test_two_looks_that_differ_from_each_other_prove_nothing",
    ),
    code(
        "L7",
        "api.reconcile",
        "v_last.fingerprint = p_fingerprint and",
        "",
        "test_differences.py::test_a_difference_that_outlived_a_change_is_looked_at_twice_again",
    ),
    code(
        "L7",
        "api.reconcile",
        "api.holdings_fingerprint(p_account) is distinct from p_fingerprint",
        "false",
        "test_differences.py::test_what_moved_while_the_broker_was_asked_proves_nothing",
    ),
    code(
        "L7",
        "api.reconcile",
        "filter (where not d.in_flight)",
        "filter (where true)",
        "test_differences.py::test_while_an_order_is_in_flight_a_difference_proves_nothing_and_an_agreement_does",
    ),
    code(
        "L7",
        "trade.correct_account",
        "where not d.in_flight",
        "where true",
        "test_differences.py::test_a_difference_waits_only_where_an_order_is_in_flight",
    ),
    code(
        "L7",
        "api.reconcile",
        "trade.is_snapshot(p_snapshot) is not true",
        "false",
        "test_differences.py::test_a_snapshot_that_cannot_be_read_is_reported_and_proves_nothing",
    ),
    code(
        "L7",
        "trade.correct_holding",
        "order by p.owner <> 'manual', p.owner",
        "order by p.owner",
        "test_corrections.py::test_a_sale_by_hand_takes_from_manual_first_and_then_from_owners_by_name",
    ),
)
