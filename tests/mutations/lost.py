"""L6: an order that the broker does not know is given up only after clean checks."""

from tests.mutations.kinds import Mutation, code
from tests.mutations.names import LOST

MUTATIONS: tuple[Mutation, ...] = (
    code(
        "L6",
        "trade.reason_to_keep_checking",
        "'FILLS_FIRST'",
        "NULL",
        LOST + "what_was_accepted_is_not_lost_before_its_fills_were_read_after_the_question",
    ),
    code(
        "L6",
        "trade.reason_to_keep_checking",
        "'AMEND_FIRST'",
        "NULL",
        LOST + "a_parent_is_not_lost_while_its_child_may_be_in_its_place",
    ),
    code(
        "L6",
        "api.order_not_found",
        "v_order.status in ('SUBMITTED', 'PARTIAL_FILLED')",
        "false",
        LOST + "a_cancel_of_what_the_broker_does_not_know_ends_after_as_many_clean_looks_as_it_needs",
    ),
    code(
        "L6",
        "trade.mark_order_lost",
        "p_order.answered_at is null",
        "true",
        LOST + "an_order_that_never_answered_is_not_tried_again_after_a_persons_word",
    ),
    code(
        "L6",
        "api.claim_checks",
        "least(p_limit, 10)",
        "p_limit",
        LOST + "a_broker_is_asked_about_ten_a_second_whoever_asks",
    ),
    code(
        "L6",
        "trade.brokers_needing_order_checks",
        "'00:00:01'",
        "'00:00:00'",
        LOST + "a_broker_is_asked_about_ten_a_second_whoever_asks",
    ),
    code(
        "L6",
        "trade.apply_to_order",
        "'00:01:00'",
        "null",
        LOST + "an_order_whose_acceptance_was_never_reported_is_asked_about_too",
    ),
    code(
        "L6",
        "api.declare_lost",
        "v_order.closed_at is not null and v_order.stray_since is null",
        "false",
        LOST + "a_person_gives_up_an_order_that_nobody_can_get_rid_of",
    ),
    code(
        "L6",
        "api.declare_lost",
        "in ('TOO_EARLY', 'AMEND_FIRST')",
        "in ('')",
        LOST + "what_may_be_on_its_way_is_not_given_up",
    ),
    code(
        "L6",
        "api.declare_lost",
        "set fence = o.fence + 1",
        "set fence = o.fence",
        LOST + "a_person_gives_up_an_order_that_nobody_can_get_rid_of",
    ),
)
