"""L1 and L12: a clock that was set back makes no wait longer and lets the audit accuse nobody."""

from tests.mutations.kinds import Mutation, code, view

WAITS_NO_HOUR = "test_clock.py::test_what_waited_a_moment_does_not_wait_an_hour"

MUTATIONS: tuple[Mutation, ...] = (
    code("L12", "bus.is_over", "(p_until > (bus.clock() + p_most))", "false", WAITS_NO_HOUR),
    code(
        "L12",
        "bus.is_over",
        "(p_until > (bus.clock() + p_most))",
        "true",
        "test_clock.py::test_a_wait_that_is_not_over_goes_on",
    ),
    code(
        "L12",
        "bus.tokens_now",
        "abs(EXTRACT(",
        "greatest(0, EXTRACT(",
        "test_clock.py::test_a_bucket_of_tokens_does_not_stay_empty_for_an_hour",
    ),
    view(
        "L1",
        "api.law_audit",
        "h.last_order_id < o.order_id",
        "h.changed_at < o.created_at",
        "test_clock.py::test_the_audit_finds_the_order_that_was_claimed_in_a_halt_whatever_its_time",
    ),
    code(
        "L1",
        "risk.tg_modes__keep_history",
        "then s.last_value else 0",
        "then 0 else 0",
        "test_clock.py::test_the_audit_accuses_nobody_of_an_order_that_was_claimed_before_a_halt",
    ),
)
