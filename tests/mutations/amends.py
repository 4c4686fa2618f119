"""L5: one child at a time takes its parent's place."""

from tests.mutations.kinds import Mutation, code, view

MUTATIONS: tuple[Mutation, ...] = (
    code(
        "L5",
        "api.claim_amends",
        "where d.intent_id = any(v_ids)",
        "where d.intent_id = any(v_ids) union select unnest(v_ids)",
        "test_amends.py::test_a_worker_that_looked_before_another_stored_the_child_stores_none",
    ),
    code(
        "L5",
        "trade.discard_replacement",
        "cancel_requested_at = coalesce(o.cancel_requested_at, bus.clock())",
        "cancel_requested_at = o.cancel_requested_at",
        "test_amend_answers.py::test_an_amend_that_failed_is_not_tried_again_but_its_parent_cancelled_and_the_stop_fires_again",
    ),
    code(
        "L5",
        "trade.discard_replacement",
        "amend_at = null,",
        "amend_at = o.amend_at,",
        "test_amend_answers.py::test_an_amend_that_failed_is_not_tried_again_but_its_parent_cancelled_and_the_stop_fires_again",
    ),
    code(
        "L5",
        "trade.activate_replacement",
        "quantity = least(",
        "quantity = coalesce(",
        "test_amend_answers.py::test_a_fill_of_the_parent_while_the_child_is_under_way_makes_the_child_smaller",
    ),
    code(
        "L5",
        "api.order_accepted",
        "perform trade.activate_replacement(v_order, p_quantity);",
        "",
        "test_amends.py::test_accepted_it_takes_its_parents_place",
    ),
    code(
        "L5",
        "trade.use_up_order",
        "perform trade.activate_replacement(p_order, null);",
        "",
        "test_amend_answers.py::test_a_fill_of_the_child_says_that_it_was_accepted",
    ),
    code(
        "L5",
        "trade.use_up_order",
        "perform trade.cancel_excess_orders(p_order.intent_id);",
        "",
        "test_amend_answers.py::test_a_late_fill_of_the_replaced_parent_counts_and_what_is_too_much_is_called_back",
    ),
    view(
        "L5",
        "trade.amends_due",
        "AND (o.cancel_requested_at IS NULL)",
        "",
        "test_amends.py::test_an_order_that_was_asked_to_cancel_is_not_amended",
    ),
    code(
        "L5",
        "trade.has_amend_under_way",
        "c.is_pending",
        "false",
        "test_amends.py::test_a_cancel_waits_until_it_is_known_what_became_of_the_child",
    ),
)
