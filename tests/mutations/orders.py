"""L4 to L6: lifecycles, one live order for each intent, and claims under a fence."""

from tests.mutations.kinds import Mutation, code, constraint, index, rule, trigger
from tests.mutations.names import INTENTS, ORDERS

WRONG_ORDER = "test_one_live_order.py::test_an_order_that_makes_no_sense_is_refused"
SINCE = "test_lifecycle.py::test_since_when_an_order_has_its_status_is_no_writers_word"
NEVER_REMOVED = "test_lifecycle.py::test_intents_and_orders_are_never_removed"

MUTATIONS: tuple[Mutation, ...] = (
    code(
        "L12",
        "trade.note_unsent",
        "if v_row < 3 then",
        "if true then",
        "test_unsent.py::test_the_third_in_a_row_is_an_incident",
    ),
    trigger(
        "L4",
        INTENTS,
        "_200_check_new",
        "test_lifecycle.py::test_an_intent_begins_only_as_its_lifecycle_says",
    ),
    trigger(
        "L4",
        INTENTS,
        "_210_check_change",
        "test_lifecycle.py::test_an_intent_moves_only_as_its_lifecycle_says",
    ),
    trigger(
        "L4", INTENTS, "_300_keep_decision", "test_lifecycle.py::test_the_decision_of_an_intent_never_changes"
    ),
    trigger("L4", INTENTS, "_400_no_delete", NEVER_REMOVED),
    trigger("L4", INTENTS, "_410_no_truncate", NEVER_REMOVED),
    trigger(
        "L4",
        ORDERS,
        "_200_check_new",
        "test_lifecycle.py::test_an_order_begins_only_as_its_lifecycle_says",
    ),
    trigger(
        "L4", ORDERS, "_210_check_change", "test_lifecycle.py::test_an_order_moves_only_as_its_lifecycle_says"
    ),
    trigger("L4", ORDERS, "_190_derive_new", SINCE),
    trigger("L4", ORDERS, "_195_derive_moved", SINCE),
    trigger("L4", ORDERS, "_400_no_delete", NEVER_REMOVED),
    trigger("L4", ORDERS, "_410_no_truncate", NEVER_REMOVED),
    trigger(
        "L4", INTENTS, "_310_keep_price", "test_approvals.py::test_only_the_end_of_the_wait_changes_a_price"
    ),
    code(
        "L4",
        "trade.tg_order_intents__keep_price",
        "old.status = 'PENDING_APPROVAL'",
        "true",
        "test_approvals.py::test_only_the_end_of_the_wait_changes_a_price",
    ),
    code(
        "L4",
        "trade.tg_order_intents__keep_price",
        "and old.limit_price is null and new.limit_price is null",
        "",
        "test_approvals.py::test_a_price_that_a_person_chose_is_changed_by_no_approval",
    ),
    index(
        "L5",
        "trade.orders_one_live_per_intent",
        "test_one_live_order.py::test_an_intent_has_at_most_one_live_order",
    ),
    index(
        "L5",
        "trade.orders_one_pending_child",
        "test_one_live_order.py::test_an_order_has_at_most_one_pending_child",
    ),
    trigger(
        "L5",
        ORDERS,
        "_300_check_exposure",
        "test_one_live_order.py::test_an_order_beyond_its_intent_is_refused",
    ),
    *(
        rule("L5", "trade.order_fault", name, WRONG_ORDER)
        for name in (
            "quantity_positive",
            "filled_within_quantity",
            "overfill_not_negative",
            "client_order_id_short",
            "closed_iff_terminal",
            "sending_has_owner",
            "type_known",
            "amend_has_price",
            "pending_is_child",
        )
    ),
    constraint(
        "L6",
        ORDERS,
        "orders_client_order_id_key",
        "test_one_live_order.py::test_a_client_order_id_is_never_used_again",
    ),
    index(
        "L6",
        "trade.orders_broker_order_id_key",
        "test_answers.py::test_no_two_orders_of_an_account_have_one_number_of_the_broker",
    ),
    code(
        "L6",
        "api.order_accepted",
        "trade.unused_broker_order_id(v_order, p_broker_order_id)",
        "p_broker_order_id",
        "test_answers.py::test_a_number_the_broker_gives_to_two_orders_is_kept_for_the_first_and_reported",
    ),
    trigger("L6", ORDERS, "_310_keep_decision", "test_lifecycle.py::test_what_an_order_says_never_changes"),
    code(
        "L6",
        "trade.check_fence",
        "p_order.fence is distinct from p_fence",
        "false",
        "test_doubts.py::test_who_lost_the_fence_can_answer_nothing",
    ),
    code(
        "L6",
        "api.unsend",
        "v_order.status is distinct from 'SENDING'",
        "false",
        "test_doubts.py::test_an_order_that_may_have_left_cannot_be_taken_back",
    ),
    code(
        "L6",
        "api.claim_doubts",
        "s.send_before < bus.clock()",
        "true",
        "test_doubts.py::test_an_order_of_a_dead_worker_is_in_doubt_once_its_time_to_leave_has_passed",
    ),
    code(
        "L6",
        "trade.lock_claimable_intents",
        "o.status = 'IN_DOUBT'",
        "false",
        "test_doubts.py::test_a_doubt_blocks_its_symbol_and_side_and_nothing_else",
    ),
    code(
        "L6",
        "api.order_rejected",
        "v_order.closed_at is not null",
        "false",
        "test_answers.py::test_a_rejection_reported_twice_touches_neither_the_next_attempt_nor_itself",
    ),
    code(
        "L6",
        "trade.lock_claimable_intents",
        "a.reconciled_run = (select n.run_number",
        "a.reconciled_run <= (select n.run_number",
        "test_claims.py::test_an_account_takes_no_part_before_it_agreed_with_its_broker_since_the_start",
    ),
    code(
        "L6",
        "trade.reason_to_keep_checking",
        "'TOO_EARLY'",
        "NULL",
        "test_doubts.py::test_not_found_counts_only_after_the_order_must_have_been_seen",
    ),
)
