"""L4 to L6: lifecycles, one live order per intent, sent once and only where the run began; also L9, L12."""

from tests.mutations.kinds import Mutation, code, constraint, index, trigger, view
from tests.mutations.names import INTENTS, LOST, ORDERS, STRAYS

WRONG_ORDER = "test_claims.py::test_an_order_that_makes_no_sense_is_refused"
NEVER_REMOVED = "test_lifecycle.py::test_intents_and_orders_are_never_removed"
ELSEWHERE = "test_home.py::test_elsewhere_nothing_is_handed_out"
WAITS_NO_HOUR = "test_clock.py::test_what_waited_a_moment_does_not_wait_an_hour"
ON_DISK = "test_durable.py::test_its_transaction_waits_for_the_disk"
NO_SLIP = "test_forgery.py::test_history_is_not_dropped_by_a_slip"
LOWER_NUMBERS = (
    "test_restored_history.py::test_in_a_server_with_lower_transaction_numbers_the_history_keeps_its_order"
)
HOME: tuple[Mutation, ...] = (
    *(
        code("L6", function, "perform bus.require_home();", "", ELSEWHERE)
        for function in (
            *("api.claim_cancels", "api.claim_doubts", "api.claim_checks", "api.claim_amends"),
            *("api.fire_exits", "api.route_picks"),
        )
    ),
    code("L6", "api.claim_intents", ", bus.require_home()", "", ELSEWHERE),
    code("L6", "bus.require_home", "bus.is_home(n)", "true", ELSEWHERE),
    code("L6", "bus.is_home", "p_instance.identity = bus.server_identity()", "true", ELSEWHERE),
    code(
        "L6",
        "bus.is_home",
        "p_instance.identity = bus.server_identity()",
        "false",
        "test_home.py::test_after_a_restart_of_its_server_it_goes_on_by_itself",
    ),
    code(
        "L6",
        "api.run_marker",
        "perform bus.note_home();",
        "",
        "test_home.py::test_the_marker_notes_a_restart_so_that_claims_need_not_read_the_identity",
    ),
    Mutation(
        "L11",
        "begin_run is not the supervisor's alone",
        "grant execute on function api.begin_run(text) to aegis_engine",
        "test_home.py::test_only_the_supervisor_begins_a_run",
    ),
    code(
        "L6",
        "bus.record_event",
        "if current_setting('synchronous_commit') = 'off' then",
        "if false then",
        ON_DISK,
    ),
    code(
        "L6",
        "trade.tg_cash_entries__add",
        "if current_setting('synchronous_commit') = 'off' then",
        "if false then",
        ON_DISK,
    ),
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
    code("L9", "bus.record_event", "(n.run_number > 0 and not bus.is_home(n))::integer", "0", LOWER_NUMBERS),
    view(
        "L9",
        "bus.settled_events",
        "(e.generation = n.generation)",
        "true",
        "test_restored_history.py::test_what_was_not_yet_read_in_the_old_server_is_not_passed_over",
    ),
    code(
        "L9",
        "bus.record_event",
        "v_frame := split_part(v_context, e'\\n', -1)",
        "v_frame := v_context",
        "test_forgery.py::test_a_block_of_code_is_direct_sql_whatever_its_text_says",
    ),
    code(
        "L9",
        "bus.event_hash",
        "WHEN 2 THEN",
        "WHEN 2 THEN (p_event).actor || (p_event).cause WHEN 2 THEN",
        "test_forgery.py::test_text_cannot_move_between_the_fields_of_a_sealed_event",
    ),
    code(
        "L9",
        "api.seal_events",
        "bus.event_hash(v_event, 2)",
        "bus.event_hash(v_event, 1)",
        "test_forgery.py::test_seals_of_the_version_before_still_verify",
    ),
    code(
        "L9",
        "api.verify_seals",
        "IS DISTINCT FROM s.event_hash",
        "<> s.event_hash",
        "test_forgery.py::test_seals_of_the_version_before_still_verify",
    ),
    code("L9", "api.drop_partitions", "isfinite(p_before) and ", "", NO_SLIP),
    code("L9", "api.drop_partitions", ") is not true then", ") is false then", NO_SLIP),
    code("L9", "api.drop_partitions", "- bus.youngest_history()) is", ") is", NO_SLIP),
    code(
        "L9",
        "api.drop_partitions",
        "if coalesce(trim(p_reason), '') = '' then",
        "if false then",
        "test_forgery.py::test_history_is_not_dropped_without_a_reason",
    ),
    Mutation(
        "L9",
        "triggers fire under replica too",
        "alter table bus.events enable trigger _100_append_only",
        "test_forgery.py::test_laws_hold_under_replica_too",
    ),
    code(
        "L12",
        "trade.note_unsent",
        "if v_row < 3 then",
        "if true then",
        "test_unsent.py::test_the_third_in_a_row_is_an_incident",
    ),
)

MUTATIONS: tuple[Mutation, ...] = (
    *(
        code(law, function, old, new, STRAYS + test)
        for law, function, old, new, test in (
            (
                "L5",
                "trade.lock_claimable_intents",
                "o.stray_since is not null",
                "false",
                "it_is_cancelled_and_no_second_order_goes_out_until_it_is_gone",
            ),
            (
                "L6",
                "api.order_accepted",
                "v_order.closed_at is null",
                "true",
                "whoever_lost_the_fence_is_heard_about_an_order_that_has_ended_and_about_no_other",
            ),
            (
                "L5",
                "api.order_accepted",
                "perform trade.handle_stray_activity(p_order_id, 'the broker accepted it');",
                "",
                "it_is_cancelled_and_no_second_order_goes_out_until_it_is_gone",
            ),
            (
                "L5",
                "trade.use_up_order",
                "perform trade.handle_stray_activity(p_order.order_id, 'it was filled');",
                "",
                "a_stop_does_not_sell_what_a_stray_may_sell_and_fires_once_that_is_gone",
            ),
            (
                "L5",
                "trade.handle_stray_activity",
                "and v_order.broker_ended_at is null",
                "",
                "an_order_the_broker_has_ended_is_no_stray_whatever_is_reported_again",
            ),
            (
                "L2",
                "trade.tg_positions__derive",
                "or new.stray_qty is distinct from old.stray_qty",
                "",
                "one_that_the_position_does_not_cover_is_a_breach_and_not_an_error",
            ),
            (
                "L3",
                "trade.tg_balances__derive",
                "or new.stray_cash is distinct from old.stray_cash",
                "",
                "one_that_cash_does_not_cover_is_a_breach_and_not_an_error",
            ),
            (
                "L5",
                "trade.retry_or_cancel",
                "o.cancel_requested_at is not null",
                "false",
                "a_cancel_that_was_asked_while_an_order_was_on_its_way_is_not_answered_by_another_attempt",
            ),
            (
                "L7",
                "trade.known_fill",
                "f.order_id = p_order.order_id or ",
                "",
                "an_execution_reported_on_both_sides_of_midnight_counts_once",
            ),
            (
                "L7",
                "trade.answer_to_known_fill",
                "trade.is_repeat_of_busted_fill(p_known, p_quantity, p_notional)",
                "false",
                "a_busted_execution_reported_otherwise_is_recorded_and_uses_up_no_more_of_its_order",
            ),
            (
                "L7",
                "trade.apply_fill",
                "p_quantity - v_corrected",
                "p_quantity",
                "a_busted_execution_reported_otherwise_is_recorded_and_uses_up_no_more_of_its_order",
            ),
            (
                "L7",
                "trade.apply_cumulative_fill",
                "and not trade.is_busted(m.fill_id)",
                "",
                "a_total_after_a_bust_counts_from_what_is_left",
            ),
            (
                "L7",
                "trade.keep_unmatched",
                "case when v_nth > 1",
                "case when false",
                "each_different_fact_that_fits_nothing_is_kept_and_repeats_are_counted",
            ),
            (
                "L7",
                "trade.shorten_facts",
                "<= 1000",
                "<= 1000000000",
                "a_fact_of_any_length_is_kept_in_little_room",
            ),
        )
    ),
    trigger(
        "L4",
        INTENTS,
        "_200_check_beginning",
        "test_lifecycle.py::test_an_intent_begins_only_as_its_lifecycle_says",
    ),
    trigger(
        "L4", INTENTS, "_210_check_move", "test_lifecycle.py::test_an_intent_moves_only_as_its_lifecycle_says"
    ),
    trigger(
        "L4", INTENTS, "_300_keep_decision", "test_lifecycle.py::test_the_decision_of_an_intent_never_changes"
    ),
    trigger("L4", INTENTS, "_400_no_delete", NEVER_REMOVED),
    trigger("L4", INTENTS, "_410_no_truncate", NEVER_REMOVED),
    trigger(
        "L4",
        ORDERS,
        "_200_check_beginning",
        "test_lifecycle.py::test_an_order_begins_only_as_its_lifecycle_says",
    ),
    trigger(
        "L4", ORDERS, "_210_check_move", "test_lifecycle.py::test_an_order_moves_only_as_its_lifecycle_says"
    ),
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
    Mutation(
        "L4",
        "trade.order_transitions: IN_DOUBT to REPLACED",
        "delete from trade.order_transitions where (from_status, to_status) = ('IN_DOUBT', 'REPLACED')",
        STRAYS + "the_child_of_a_parent_in_doubt_is_heard_of",
    ),
    code(
        "L5",
        "api.claim_amends",
        "where d.intent_id = any(v_ids)",
        "where d.intent_id = any(v_ids) union select unnest(v_ids)",
        "test_amends.py::test_a_worker_that_looked_before_another_stored_the_child_stores_none",
    ),
    index(
        "L5", "trade.orders_one_live_per_intent", "test_claims.py::test_an_intent_has_at_most_one_live_order"
    ),
    index(
        "L5", "trade.orders_one_pending_child", "test_claims.py::test_an_order_has_at_most_one_pending_child"
    ),
    trigger(
        "L5", ORDERS, "_300_check_exposure", "test_claims.py::test_an_order_beyond_its_intent_is_refused"
    ),
    *(
        constraint("L5", ORDERS, f"orders_{name}", WRONG_ORDER)
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
    code(
        "L5",
        "trade.discard_replacement",
        "cancel_requested_at = coalesce(o.cancel_requested_at, bus.clock())",
        "cancel_requested_at = o.cancel_requested_at",
        "test_amends.py::test_an_amend_that_failed_is_not_tried_again_but_its_parent_cancelled_and_the_stop_fires_again",
    ),
    code(
        "L5",
        "trade.discard_replacement",
        "amend_at = null,",
        "amend_at = o.amend_at,",
        "test_amends.py::test_an_amend_that_failed_is_not_tried_again_but_its_parent_cancelled_and_the_stop_fires_again",
    ),
    code(
        "L5",
        "trade.activate_replacement",
        "quantity = least(",
        "quantity = coalesce(",
        "test_amends.py::test_a_fill_of_the_parent_while_the_child_is_under_way_makes_the_child_smaller",
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
        "test_amends.py::test_a_fill_of_the_child_says_that_it_was_accepted",
    ),
    code(
        "L5",
        "trade.use_up_order",
        "perform trade.cancel_excess_orders(p_order.intent_id);",
        "",
        "test_amends.py::test_a_late_fill_of_the_replaced_parent_counts_and_what_is_too_much_is_called_back",
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
    constraint(
        "L5", ORDERS, "orders_stray_is_being_cancelled", STRAYS + "a_stray_is_being_cancelled_or_it_is_none"
    ),
    constraint(
        "L6",
        ORDERS,
        "orders_client_order_id_key",
        "test_claims.py::test_a_client_order_id_is_never_used_again",
    ),
    index(
        "L6",
        "trade.orders_broker_order_id_key",
        "test_claims.py::test_no_two_orders_of_an_account_have_one_number_of_the_broker",
    ),
    code(
        "L6",
        "api.order_accepted",
        "trade.unused_broker_order_id(v_order, p_broker_order_id)",
        "p_broker_order_id",
        "test_claims.py::test_a_number_the_broker_gives_to_two_orders_is_kept_for_the_first_and_reported",
    ),
    trigger("L6", ORDERS, "_310_keep_decision", "test_lifecycle.py::test_what_an_order_says_never_changes"),
    code(
        "L6",
        "trade.check_fence",
        "p_order.fence is distinct from p_fence",
        "false",
        "test_claims.py::test_who_lost_the_fence_can_answer_nothing",
    ),
    code(
        "L6",
        "api.unsend",
        "v_order.status is distinct from 'SENDING'",
        "false",
        "test_claims.py::test_an_order_that_may_have_left_cannot_be_taken_back",
    ),
    code(
        "L6",
        "api.claim_doubts",
        "s.send_before < bus.clock()",
        "true",
        "test_claims.py::test_an_order_of_a_dead_worker_is_in_doubt_once_its_time_to_leave_has_passed",
    ),
    code(
        "L6",
        "trade.lock_claimable_intents",
        "o.status = 'IN_DOUBT'",
        "false",
        "test_claims.py::test_a_doubt_blocks_its_symbol_and_side_and_nothing_else",
    ),
    code(
        "L6",
        "api.order_rejected",
        "v_order.closed_at is not null",
        "false",
        "test_claims.py::test_a_rejection_reported_twice_touches_neither_the_next_attempt_nor_itself",
    ),
    *HOME,
    code(
        "L6",
        "trade.lock_claimable_intents",
        "a.reconciled_run = (select n.run_number",
        "a.reconciled_run <= (select n.run_number",
        "test_claims.py::test_an_account_takes_no_part_before_it_agreed_with_its_broker_since_the_start",
    ),
    *(
        code("L6", function, old, new, LOST + test)
        for function, old, new, test in (
            (
                "trade.reason_to_keep_checking",
                "'FILLS_FIRST'",
                "NULL",
                "what_was_accepted_is_not_lost_before_its_fills_were_read_after_the_question",
            ),
            (
                "trade.reason_to_keep_checking",
                "'AMEND_FIRST'",
                "NULL",
                "a_parent_is_not_lost_while_its_child_may_be_in_its_place",
            ),
            (
                "api.order_not_found",
                "v_order.status in ('SUBMITTED', 'PARTIAL_FILLED')",
                "false",
                "a_cancel_of_what_the_broker_does_not_know_ends_after_as_many_clean_looks_as_it_needs",
            ),
            (
                "trade.mark_order_lost",
                "p_order.answered_at is null",
                "true",
                "an_order_that_never_answered_is_not_tried_again_after_a_persons_word",
            ),
            (
                "api.claim_checks",
                "least(p_limit, 10)",
                "p_limit",
                "a_broker_is_asked_about_ten_a_second_whoever_asks",
            ),
            (
                "trade.brokers_needing_order_checks",
                "'00:00:01'",
                "'00:00:00'",
                "a_broker_is_asked_about_ten_a_second_whoever_asks",
            ),
            (
                "trade.apply_to_order",
                "'00:01:00'",
                "null",
                "an_order_whose_acceptance_was_never_reported_is_asked_about_too",
            ),
            (
                "api.declare_lost",
                "v_order.closed_at is not null and v_order.stray_since is null",
                "false",
                "a_person_gives_up_an_order_that_nobody_can_get_rid_of",
            ),
            (
                "api.declare_lost",
                "in ('TOO_EARLY', 'AMEND_FIRST')",
                "in ('')",
                "what_may_be_on_its_way_is_not_given_up",
            ),
            (
                "api.declare_lost",
                "set fence = o.fence + 1",
                "set fence = o.fence",
                "a_person_gives_up_an_order_that_nobody_can_get_rid_of",
            ),
        )
    ),
    code(
        "L6",
        "trade.reason_to_keep_checking",
        "'TOO_EARLY'",
        "NULL",
        "test_claims.py::test_not_found_counts_only_after_the_order_must_have_been_seen",
    ),
)
