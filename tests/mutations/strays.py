"""L4 to L6, L2 and L3: an order that ended here but is live at the broker."""

from tests.mutations.kinds import Mutation, code, rule
from tests.mutations.names import STRAYS

MUTATIONS: tuple[Mutation, ...] = (
    code(
        "L5",
        "trade.lock_claimable_intents",
        "o.stray_since is not null",
        "false",
        STRAYS + "it_is_cancelled_and_no_second_order_goes_out_until_it_is_gone",
    ),
    code(
        "L6",
        "api.order_accepted",
        "v_order.closed_at is null",
        "true",
        STRAYS + "whoever_lost_the_fence_is_heard_about_an_order_that_has_ended_and_about_no_other",
    ),
    code(
        "L5",
        "api.order_accepted",
        "perform trade.handle_stray_activity(p_order_id, 'the broker accepted it');",
        "",
        STRAYS + "it_is_cancelled_and_no_second_order_goes_out_until_it_is_gone",
    ),
    code(
        "L5",
        "trade.use_up_order",
        "perform trade.handle_stray_activity(p_order.order_id, 'it was filled');",
        "",
        STRAYS + "a_stop_does_not_sell_what_a_stray_may_sell_and_fires_once_that_is_gone",
    ),
    code(
        "L5",
        "trade.handle_stray_activity",
        "and v_order.broker_ended_at is null",
        "",
        STRAYS + "an_order_the_broker_has_ended_is_no_stray_whatever_is_reported_again",
    ),
    code(
        "L2",
        "trade.tg_positions__derive",
        "or new.stray_qty is distinct from old.stray_qty",
        "",
        STRAYS + "one_that_the_position_does_not_cover_is_a_breach_and_not_an_error",
    ),
    code(
        "L3",
        "trade.tg_balances__derive",
        "or new.stray_cash is distinct from old.stray_cash",
        "",
        STRAYS + "one_that_cash_does_not_cover_is_a_breach_and_not_an_error",
    ),
    code(
        "L5",
        "trade.retry_or_cancel",
        "o.cancel_requested_at is not null",
        "false",
        STRAYS + "a_cancel_that_was_asked_while_an_order_was_on_its_way_is_not_answered_by_another_attempt",
    ),
    Mutation(
        "L4",
        "trade.order_transitions: IN_DOUBT to REPLACED",
        "delete from trade.order_transitions where (from_status, to_status) = ('IN_DOUBT', 'REPLACED')",
        STRAYS + "the_child_of_a_parent_in_doubt_is_heard_of",
    ),
    rule(
        "L5",
        "trade.order_fault",
        "stray_is_being_cancelled",
        STRAYS + "a_stray_is_being_cancelled_or_it_is_none",
    ),
)
