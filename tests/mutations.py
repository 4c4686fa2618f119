"""Take out one law at a time and see that a test fails.

A test that passes without the constraint it is about proves nothing.  Each row of the table names a law,
the object that keeps it, the SQL that removes the object, and the test that must then fail: it runs in a
copy of the template in which that one thing is missing (the fixture `db` of tests/sql/laws applies it).

    python -m tests.mutations            all of them, as a table; exit status 1 if one survives
    python -m tests.mutations L2 fence   those whose law or object contains one of these words
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

LAWS = Path(__file__).parent / "sql" / "laws"


@dataclass(frozen=True)
class Mutation:
    """One law less, and the test that notices."""

    law: str
    removed: str
    sql: str
    test: str

    @property
    def node(self) -> str:
        return f"{LAWS / self.test}"

    @property
    def function(self) -> str:
        return self.test.partition("::")[2]


def constraint(law: str, table: str, name: str, test: str) -> Mutation:
    return Mutation(law, f"{table}.{name}", f"alter table {table} drop constraint {name} cascade", test)


def trigger(law: str, table: str, name: str, test: str) -> Mutation:
    return Mutation(law, f"{table}.{name}", f"drop trigger {name} on {table}", test)


def index(law: str, name: str, test: str) -> Mutation:
    return Mutation(law, name, f"drop index {name}", test)


def code(law: str, function: str, old: str, new: str, test: str) -> Mutation:
    """A check inside a function: its text is replaced, which fails if it is no longer there."""
    return Mutation(
        law, f"{function}: {old}", _rewrite(f"pg_get_functiondef('{function}'::regproc)", old, new), test
    )


def view(law: str, name: str, old: str, new: str, test: str) -> Mutation:
    """A condition of a view, in the words of pg_get_viewdef."""
    definition = f"'create or replace view {name} as ' || pg_get_viewdef('{name}'::regclass)"
    return Mutation(law, f"{name}: {old}", _rewrite(definition, old, new), test)


def _rewrite(definition: str, old: str, new: str) -> str:
    return f"""
        do $mutate$
        declare
            v_definition text := {definition};
        begin
            if position($old${old}$old$ in v_definition) = 0 then
                raise exception 'there is no such check to remove';
            end if;
            execute replace(v_definition, $old${old}$old$, $new${new}$new$);
        end
        $mutate$"""


INTENTS, ORDERS, FILLS = "trade.order_intents", "trade.orders", "trade.fills"
POSITIONS, BALANCES, CASH = "trade.positions", "trade.balances", "trade.cash_entries"

WRONG_INTENT = "test_reservations.py::test_an_intent_that_reserves_anything_but_its_rest_is_refused"
WRONG_END = "test_reservations.py::test_an_intent_ends_and_releases_together_or_not_at_all"
WRONG_LOCK = "test_reservations.py::test_nobody_locks_more_than_there_is"
WRONG_ORDER = "test_claims.py::test_an_order_that_makes_no_sense_is_refused"
WRONG_FILL = "test_fills.py::test_a_fill_written_by_hand_counts_once_and_makes_sense"
WRONG_CASH = "test_fills.py::test_a_movement_of_cash_says_what_it_is"
WRONG_POSITION = "test_history.py::test_a_position_has_a_cost_and_a_beginning_only_while_it_is_held"
HALT_WAITS = "test_modes.py::test_a_halt_waits_for_an_intent_in_flight"
MODES_KEPT = "test_modes.py::test_a_mode_and_its_history_cannot_be_removed"
NEVER_REMOVED = "test_lifecycle.py::test_intents_and_orders_are_never_removed"
HOLDINGS_KEPT = "test_reservations.py::test_holdings_are_never_removed"
FACTS_KEPT = "test_fills.py::test_facts_are_only_added_to"
EVENTS_KEPT = "test_history.py::test_events_are_only_added_to"
BUSTS_KEPT = "test_busts.py::test_a_bust_is_only_added_to_and_of_one_fill"
SEALS_KEPT = "test_partitions.py::test_seals_are_only_added_to_and_one_of_each_event"
GATES_KEPT = "test_history.py::test_the_answers_of_the_gates_are_only_added_to"
EACH_TOLD = "test_history.py::test_each_change_of_an_intent_is_one_event_with_its_actor"
STALE = "test_prices.py::test_a_stale_price_fires_nothing_and_prices_nothing"
QUARANTINE = "test_prices.py::test_what_cannot_be_a_quote_is_quarantined_and_the_rest_of_its_batch_is_not"

REGISTERS_AS_ITSELF = "test_exhaustion.py::test_a_worker_registers_under_the_name_of_its_login_alone"
WRITES_A_MINUTE = "test_exhaustion.py::test_a_strategy_writes_so_many_errors_a_minute"

MUTATIONS: tuple[Mutation, ...] = (
    # L1: the mode and its gate
    trigger(
        "L1",
        INTENTS,
        "_100_guard",
        "test_modes.py::test_a_buy_written_by_hand_is_refused_when_buying_is_forbidden",
    ),
    trigger(
        "L1",
        INTENTS,
        "_110_guard_approval",
        "test_modes.py::test_a_buy_that_waited_for_approval_is_not_approved_into_a_halt",
    ),
    trigger(
        "L1", ORDERS, "_100_guard_new", "test_modes.py::test_an_order_written_by_hand_is_refused_while_halted"
    ),
    trigger("L1", "risk.system_mode", "_100_lock_gate", HALT_WAITS),
    trigger("L1", "risk.scoped_modes", "_100_lock_gate", HALT_WAITS),
    trigger("L1", "risk.system_mode", "_110_no_delete", MODES_KEPT),
    trigger("L1", "risk.system_mode", "_120_no_truncate", MODES_KEPT),
    trigger("L1", "risk.scoped_modes", "_110_no_delete", MODES_KEPT),
    trigger("L1", "risk.scoped_modes", "_120_no_truncate", MODES_KEPT),
    constraint(
        "L1",
        "risk.gate",
        "gate_stays_empty",
        "test_modes.py::test_there_is_one_system_mode_and_nothing_in_the_gate",
    ),
    constraint(
        "L1",
        "risk.system_mode",
        "system_mode_is_one_row",
        "test_modes.py::test_there_is_one_system_mode_and_nothing_in_the_gate",
    ),
    constraint(
        "L1",
        "risk.system_mode",
        "system_mode_pkey",
        "test_modes.py::test_there_is_one_system_mode_and_nothing_in_the_gate",
    ),
    code("L1", "risk.hold_gate", "lock table risk.gate in row share mode;", "", HALT_WAITS),
    code(
        "L1",
        "bus.require_the_latest",
        "<> 'read committed'",
        "= 'never'",
        "test_modes.py::test_a_snapshot_that_could_miss_a_halt_is_refused",
    ),
    code(
        "L1",
        "risk.lock_gate",
        "perform risk.end_session(v_pid);",
        "null;",
        "test_modes.py::test_a_session_that_sits_on_the_gate_is_ended_and_the_halt_returns_within_a_second",
    ),
    code("L1", "risk.admit", "not found or", "", "test_modes.py::test_a_mode_that_cannot_be_known_denies"),
    code(
        "L1",
        "risk.admit",
        "or v_row.verdict = 'DENY'",
        "",
        "test_modes.py::test_a_buy_at_the_desk_is_refused_while_halted",
    ),
    code(
        "L1",
        "trade.tg_order_intents__guard",
        "tg_op = 'INSERT' or new.approved_by",
        "new.approved_by",
        "test_modes.py::test_a_sell_written_by_hand_while_halted_cannot_bring_its_own_approval",
    ),
    code(
        "L1",
        "trade.tg_orders__guard",
        "v_verdict = 'APPROVE'",
        "false",
        "test_modes.py::test_an_unapproved_order_written_by_hand_is_refused_while_halted",
    ),
    code(
        "L1",
        "risk.code_answer",
        "v_code.locked_until > bus.clock()",
        "false",
        "test_modes.py::test_five_wrong_codes_lock_even_the_right_one_for_15_minutes",
    ),
    code(
        "L5",
        "api.due_amends",
        "where d.intent_id = any(v_ids)",
        "where d.intent_id = any(v_ids) union select unnest(v_ids)",
        "test_amends.py::test_a_worker_that_looked_before_another_stored_the_child_stores_none",
    ),
    view(
        "L1",
        "trade.amends_due",
        "(v.verdict = 'ALLOW'::text) OR",
        "true OR",
        "test_amends.py::test_no_child_is_stored_while_the_mode_forbids_it",
    ),
    # L2 and L3: reservations
    constraint("L2", POSITIONS, "positions_locked_within_qty", WRONG_LOCK),
    constraint("L2", POSITIONS, "positions_not_negative", WRONG_LOCK),
    constraint("L3", BALANCES, "balances_locked_within_cash", WRONG_LOCK),
    constraint("L3", BALANCES, "balances_not_negative", WRONG_LOCK),
    constraint("L2", INTENTS, "order_intents_terminal_iff_released", WRONG_END),
    constraint("L2", INTENTS, "order_intents_terminal_iff_closed", WRONG_END),
    constraint("L2", INTENTS, "order_intents_filled_iff_whole", WRONG_END),
    constraint("L2", INTENTS, "order_intents_filled_within_quantity", WRONG_END),
    constraint("L2", INTENTS, "order_intents_reserves_the_rest", WRONG_INTENT),
    constraint("L2", INTENTS, "order_intents_reserves_one_side", WRONG_INTENT),
    constraint("L2", INTENTS, "order_intents_prices_positive", WRONG_INTENT),
    constraint("L2", INTENTS, "order_intents_limit_is_worst", WRONG_INTENT),
    constraint("L2", INTENTS, "order_intents_overfill_not_negative", WRONG_INTENT),
    constraint("L2", INTENTS, "order_intents_approved_together", WRONG_INTENT),
    constraint(
        "L2",
        INTENTS,
        "order_intents_idempotency_key",
        "test_picks.py::test_a_key_written_by_hand_is_used_once",
    ),
    trigger("L2", INTENTS, "_500_reserve_new", "test_reservations.py::test_more_than_is_held_cannot_be_sold"),
    trigger(
        "L2",
        INTENTS,
        "_510_reserve_change",
        "test_reservations.py::test_what_was_reserved_is_freed_once_however_an_intent_ends",
    ),
    trigger(
        "L2",
        POSITIONS,
        "_100_derive",
        "test_breaches.py::test_a_late_sell_fill_under_a_sent_order_is_a_breach_until_that_order_ends",
    ),
    trigger(
        "L3",
        BALANCES,
        "_100_derive",
        "test_breaches.py::test_a_withdrawal_under_a_sent_order_is_a_breach_until_cash_is_back",
    ),
    trigger(
        "L3",
        BALANCES,
        "_900_record",
        "test_breaches.py::test_a_withdrawal_under_a_sent_order_is_a_breach_until_cash_is_back",
    ),
    trigger("L2", POSITIONS, "_120_no_delete", HOLDINGS_KEPT),
    trigger("L2", POSITIONS, "_130_no_truncate", HOLDINGS_KEPT),
    trigger("L3", BALANCES, "_120_no_delete", HOLDINGS_KEPT),
    trigger("L3", BALANCES, "_130_no_truncate", HOLDINGS_KEPT),
    trigger("L3", CASH, "_500_add", "test_fills.py::test_a_round_trip_earns_the_difference_less_every_cost"),
    trigger("L3", CASH, "_100_append_only", FACTS_KEPT),
    trigger("L3", CASH, "_110_no_truncate", FACTS_KEPT),
    constraint("L3", CASH, "cash_entries_kind_known", WRONG_CASH),
    constraint("L3", CASH, "cash_entries_fill_iff_traded", WRONG_CASH),
    constraint("L3", CASH, "cash_entries_sign_fits", WRONG_CASH),
    code(
        "L2",
        "trade.tg_order_intents__guard",
        "p.breach_qty > 0",
        "false",
        "test_breaches.py::test_a_late_sell_fill_under_a_sent_order_is_a_breach_until_that_order_ends",
    ),
    code(
        "L3",
        "trade.tg_order_intents__guard",
        "b.breach_cash > 0",
        "false",
        "test_breaches.py::test_a_withdrawal_under_a_sent_order_is_a_breach_until_cash_is_back",
    ),
    code(
        "L2",
        "trade.take_fill",
        "perform trade.shed_unsent(",
        "perform concat(",
        "test_breaches.py::test_a_late_sell_fill_sheds_what_was_not_sent",
    ),
    code(
        "L3",
        "api.record_cash",
        "perform trade.shed_unsent(",
        "perform concat(",
        "test_breaches.py::test_a_withdrawal_sheds_buys_that_were_not_sent",
    ),
    code(
        "L3",
        "api.record_cash",
        "coalesce(p_kind, '') not in ('deposit', 'withdrawal', 'dividend', 'correction') or",
        "",
        "test_cash.py::test_what_is_no_movement_of_cash_is_refused",
    ),
    code(
        "L2",
        "api.bust_fill",
        "perform trade.shed_unsent(",
        "perform concat(",
        "test_busts.py::test_a_bust_under_a_live_sell_breaches_and_sheds",
    ),
    code(
        "L2",
        "trade.correct_holding",
        "perform trade.shed_unsent(",
        "perform concat(",
        "test_corrections.py::test_a_sale_by_hand_sheds_the_sells_that_have_become_too_many",
    ),
    code(
        "L3",
        "trade.correct_account",
        "perform trade.shed_unsent(",
        "perform concat(",
        "test_corrections.py::test_cash_that_went_sheds_the_buys_it_was_promised_to",
    ),
    code(
        "L3",
        "trade.open_intent",
        "greatest(v_fees.maker_rate, v_fees.taker_rate) + v_fees.buy_tax_rate",
        "v_fees.taker_rate",
        "test_costs.py::test_a_buy_reserves_the_dearer_commission_and_its_tax_but_not_that_of_the_sell",
    ),
    code(
        "L3",
        "api.measure_equity",
        "coalesce(v_last.peak, v_now.equity) + v_flow",
        "coalesce(v_last.peak, v_now.equity)",
        "test_equity.py::test_two_days_with_a_deposit_and_a_withdrawal",
    ),
    code(
        "L3",
        "api.measure_equity",
        "flows = q.flows + v_flow",
        "flows = q.flows",
        "test_equity.py::test_a_flow_counts_once_however_often_is_measured",
    ),
    # L4: lifecycles
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
    # L5: one live order, within its intent
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
        "trade.drop_child",
        "cancel_requested_at = coalesce(o.cancel_requested_at, bus.clock())",
        "cancel_requested_at = o.cancel_requested_at",
        "test_amends.py::test_an_amend_that_failed_is_not_tried_again_but_its_parent_cancelled_and_the_stop_fires_anew",
    ),
    code(
        "L5",
        "trade.drop_child",
        "amend_at = null,",
        "amend_at = o.amend_at,",
        "test_amends.py::test_an_amend_that_failed_is_not_tried_again_but_its_parent_cancelled_and_the_stop_fires_anew",
    ),
    code(
        "L5",
        "trade.take_over",
        "quantity = least(",
        "quantity = coalesce(",
        "test_amends.py::test_a_fill_of_the_parent_while_the_child_is_under_way_makes_the_child_smaller",
    ),
    code(
        "L5",
        "api.order_accepted",
        "perform trade.take_over(v_order, p_quantity);",
        "",
        "test_amends.py::test_accepted_it_takes_its_parents_place",
    ),
    code(
        "L5",
        "trade.take_fill",
        "perform trade.take_over(p_order, null);",
        "",
        "test_amends.py::test_a_fill_of_the_child_says_that_it_was_accepted",
    ),
    code(
        "L5",
        "trade.take_fill",
        "perform trade.curb_orders(p_order.intent_id);",
        "",
        "test_amends.py::test_a_late_fill_of_the_replaced_parent_counts_and_what_is_too_much_is_called_back",
    ),
    code(
        "L5",
        "api.order_cancelled",
        "c.is_pending and c.closed_at is null",
        "false",
        "test_amends.py::test_a_cancel_waits_until_it_is_known_what_became_of_the_child",
    ),
    view(
        "L5",
        "trade.amends_due",
        "AND (o.cancel_requested_at IS NULL)",
        "",
        "test_amends.py::test_an_order_that_was_asked_to_cancel_is_not_amended",
    ),
    # L6: sent once
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
        "trade.free_number(v_order, p_broker_order_id)",
        "p_broker_order_id",
        "test_claims.py::test_a_number_the_broker_gives_to_two_orders_is_kept_for_the_first_and_told",
    ),
    trigger("L6", ORDERS, "_310_keep_decision", "test_lifecycle.py::test_what_an_order_says_never_changes"),
    code(
        "L6",
        "trade.lock_order",
        "v_order.fence <> p_fence",
        "false",
        "test_claims.py::test_who_lost_the_fence_can_answer_nothing",
    ),
    code(
        "L6",
        "api.unsend",
        "v_order.status <> 'SENDING'",
        "false",
        "test_claims.py::test_an_order_that_may_have_left_cannot_be_taken_back",
    ),
    code(
        "L6",
        "api.orders_in_doubt",
        "s.send_before < bus.clock()",
        "true",
        "test_claims.py::test_an_order_of_a_dead_worker_is_in_doubt_once_its_time_to_leave_has_passed",
    ),
    code(
        "L6",
        "api.order_not_found",
        "bus.clock() <= v_order.send_before",
        "false and bus.clock() <= v_order.send_before",
        "test_claims.py::test_not_found_counts_only_after_the_order_must_have_been_seen",
    ),
    code(
        "L6",
        "trade.claimable",
        "o.status = 'IN_DOUBT' or ",
        "",
        "test_claims.py::test_a_doubt_blocks_its_symbol_and_side_and_nothing_else",
    ),
    code(
        "L6",
        "trade.claimable",
        "a.reconciled_at >= (select n.started_at",
        "a.reconciled_at >= (select n.created_at",
        "test_claims.py::test_an_account_takes_no_part_before_it_agreed_with_its_broker_since_the_start",
    ),
    code(
        "L6",
        "api.order_rejected",
        "v_order.closed_at is not null",
        "false",
        "test_claims.py::test_a_rejection_told_twice_touches_neither_the_next_attempt_nor_itself",
    ),
    # L7: fills once
    constraint("L7", FILLS, "fills_broker_fill_key", WRONG_FILL),
    constraint("L7", FILLS, "fills_side_known", WRONG_FILL),
    constraint("L7", FILLS, "fills_quantity_positive", WRONG_FILL),
    constraint("L7", FILLS, "fills_fee_qty_within_quantity", WRONG_FILL),
    trigger("L7", FILLS, "_100_append_only", FACTS_KEPT),
    trigger("L7", FILLS, "_110_no_truncate", FACTS_KEPT),
    trigger("L7", "trade.reconciliations", "_100_append_only", FACTS_KEPT),
    trigger("L7", "trade.reconciliations", "_110_no_truncate", FACTS_KEPT),
    constraint(
        "L7",
        "trade.reconciliations",
        "reconciliations_not_nothing",
        "test_fills.py::test_a_reconciliation_corrects_something",
    ),
    constraint("L7", "trade.busts", "busts_pkey", BUSTS_KEPT),
    trigger("L7", "trade.busts", "_100_append_only", BUSTS_KEPT),
    trigger("L7", "trade.busts", "_110_no_truncate", BUSTS_KEPT),
    constraint(
        "L7",
        "trade.reconciliation_runs",
        "reconciliation_runs_answer_known",
        "test_corrections.py::test_a_comparison_written_by_hand_says_what_came_of_it",
    ),
    index(
        "L7",
        "risk.incidents_one_open_per_subject",
        "test_fills.py::test_two_fills_that_fit_nothing_are_two_incidents",
    ),
    code(
        "L7",
        "trade.take_fill",
        "if found then",
        "if false then",
        "test_fills.py::test_a_fill_told_twice_counts_once",
    ),
    code(
        "L7",
        "trade.take_fill",
        "(v_known.intent_id, v_known.quantity) = (p_order.intent_id, p_quantity)",
        "true",
        "test_restatements.py::test_another_quantity_is_kept_as_an_incident",
    ),
    code(
        "L7",
        "trade.take_fill",
        "and (v_told_at is null or not f.is_time_told)",
        "and false",
        "test_fills.py::test_a_fill_told_without_its_time_counts_once_whatever_the_day",
    ),
    code(
        "L7",
        "trade.take_fill",
        "when p_filled_at between '1970-01-01' and bus.clock() + interval '1 day' then",
        "when true then",
        "test_fills.py::test_a_time_that_cannot_be_is_taken_for_none",
    ),
    code(
        "L7",
        "trade.take_total",
        "v_known.notional + nullif(p_notional, 0) - v_booked.notional",
        "null",
        "test_cumulative.py::test_the_same_total_for_other_money_is_booked",
    ),
    code(
        "L7",
        "trade.take_total",
        "nullif(p_notional, 0)",
        "p_notional",
        "test_cumulative.py::test_the_same_total_without_its_money_changes_nothing",
    ),
    code(
        "L7",
        "trade.take_total",
        "return 'UNMATCHED';",
        "return 'DUPLICATE';",
        "test_cumulative.py::test_more_units_for_no_more_money_are_kept_as_an_incident",
    ),
    code(
        "L7",
        "trade.restate_fill",
        "v_sign * v_added.notional - v_added.fee - v_added.tax",
        "v_sign * v_added.notional",
        "test_restatements.py::test_costs_that_are_told_later_are_booked_then",
    ),
    code(
        "L7",
        "trade.restate_fill",
        "greatest(p_fee_qty - m.fee_qty, 0)",
        "p_fee_qty - m.fee_qty",
        "test_restatements.py::test_a_fee_in_kind_told_in_two_parts_is_the_larger",
    ),
    code(
        "L7",
        "trade.restate_fill",
        "or exists (select from trade.busts as b where b.fill_id = p_fill.fill_id)",
        "",
        "test_busts.py::test_costs_of_what_was_busted_are_not_booked_any_more",
    ),
    code(
        "L7",
        "trade.cost_restated",
        "if p_position.opened_at <= p_fill.recorded_at then",
        "if true then",
        "test_restatements.py::test_of_a_buy_that_was_sold_it_is_all_profit_or_loss",
    ),
    code(
        "L7",
        "trade.keep_unmatched",
        "p_account, p_order, nullif(p_key, '')",
        "p_account, nullif(p_key, '')",
        "test_fills.py::test_two_fills_that_fit_nothing_are_two_incidents",
    ),
    code(
        "L7",
        "trade.move_position",
        "v_cost := -trade.cost_of(p_position, -p_change);",
        "v_cost := p_change * p_position.avg_price;",
        "test_fills.py::test_all_of_what_does_not_come_out_even_leaves_nothing",
    ),
    code(
        "L7",
        "api.record_fill",
        "< 'Infinity'",
        ">= 0",
        "test_fills.py::test_a_fill_that_fits_nothing_is_kept_as_an_incident",
    ),
    code(
        "L7",
        "api.record_cumulative",
        "v_order := trade.lock_for_fill(v_order.order_id);",
        "",
        "test_cumulative.py::test_a_total_told_by_stream_and_poll_at_once_counts_once",
    ),
    code(
        "L7",
        "trade.take_total",
        "elsif p_quantity < v_booked.quantity or",
        "elsif",
        "test_cumulative.py::test_a_smaller_total_is_older_news_whatever_it_is_worth",
    ),
    code(
        "L7",
        "trade.take_total",
        "(p_notional - v_booked.notional) / (p_quantity - v_booked.quantity)",
        "p_notional / p_quantity",
        "test_cumulative.py::test_a_total_records_what_is_new_at_the_price_of_what_is_new",
    ),
    code(
        "L7",
        "trade.take_total",
        "trim_scale(p_quantity)",
        "p_quantity",
        "test_cumulative.py::test_an_id_is_the_same_whoever_brings_the_news_and_however_it_is_written",
    ),
    code(
        "L7",
        "trade.take_fill",
        "v_sign * p_quantity - p_fee_qty",
        "v_sign * p_quantity",
        "test_costs.py::test_a_buy_brings_less_by_a_commission_in_kind_and_each_unit_costs_more",
    ),
    code(
        "L7",
        "api.record_fill",
        "and p_fee_qty < p_quantity",
        "",
        "test_costs.py::test_a_commission_in_kind_that_makes_no_sense_is_kept_as_an_incident",
    ),
    code(
        "L7",
        "api.bust_fill",
        "return 'DUPLICATE';",
        "null;",
        "test_busts.py::test_a_bust_told_twice_counts_once",
    ),
    code(
        "L7",
        "api.bust_fill",
        "perform trade.lock_for_fill(v_fill.order_id);",
        "",
        "test_busts.py::test_a_bust_told_by_two_sessions_at_once_counts_once",
    ),
    code(
        "L7",
        "api.bust_fill",
        "and i.symbol = p_symbol",
        "",
        "test_busts.py::test_a_number_that_two_symbols_share_is_busted_in_the_one_that_is_named",
    ),
    code(
        "L7",
        "trade.undo_in_position",
        "p_money.notional - p_money.fee - p_money.tax - p_money.realized_pnl",
        "p_money.notional",
        "test_busts.py::test_a_bust_with_nothing_in_between_gives_back_what_was",
    ),
    code(
        "L7",
        "trade.undo_in_position",
        "v_cost := -trade.cost_of(p_position, -v_change);",
        "v_cost := -least(p_money.notional, p_position.cost);",
        "test_busts.py::test_what_cannot_leave_at_its_own_price_leaves_at_the_average_and_the_rest_is_loss_or_profit",
    ),
    code(
        "L7",
        "api.reconcile",
        "and v_last.differences = v_found || v_waiting",
        "",
        "test_corrections.py::test_two_looks_that_differ_from_each_other_prove_nothing",
    ),
    code(
        "L7",
        "api.reconcile",
        "v_last.mark = p_mark and",
        "",
        "test_corrections.py::test_a_difference_that_outlived_a_change_is_looked_at_twice_again",
    ),
    code(
        "L7",
        "api.reconcile",
        "api.holdings_mark(p_account) is distinct from p_mark",
        "false",
        "test_corrections.py::test_what_moved_while_the_broker_was_asked_proves_nothing",
    ),
    code(
        "L7",
        "api.reconcile",
        "filter (where not d.in_flight)",
        "filter (where true)",
        "test_corrections.py::test_while_an_order_is_in_flight_a_difference_proves_nothing_and_an_agreement_does",
    ),
    code(
        "L7",
        "trade.correct_account",
        "where not d.in_flight",
        "where true",
        "test_corrections.py::test_a_difference_waits_only_where_an_order_is_in_flight",
    ),
    code(
        "L7",
        "api.reconcile",
        "trade.is_snapshot(p_snapshot) is not true",
        "false",
        "test_corrections.py::test_a_snapshot_that_cannot_be_read_is_told_and_proves_nothing",
    ),
    code(
        "L7",
        "trade.correct_holding",
        "order by p.owner <> 'manual', p.owner",
        "order by p.owner",
        "test_corrections.py::test_a_sale_by_hand_takes_from_manual_first_and_then_from_owners_by_name",
    ),
    # L8: fresh prices
    code(
        "L8",
        "api.ingest_quotes",
        "(excluded.quote_ts, excluded.received_seq) > (b.quote_ts, b.received_seq)",
        "true",
        "test_prices.py::test_the_newest_quote_is_best_in_whatever_order_and_batches_they_come",
    ),
    code(
        "L8",
        "api.ingest_trades",
        "(excluded.trade_ts, excluded.trade_seq) > (b.trade_ts, b.trade_seq)",
        "true",
        "test_prices.py::test_the_newest_trade_is_last_in_whatever_order_they_come",
    ),
    code("L8", "api.ingest_quotes", "r.ts <= v_now + interval '2 s'", "true", QUARANTINE),
    code(
        "L8",
        "api.ingest_quotes",
        "n.bid > 0 and n.ask > n.bid",
        "n.bid > 0 and n.ask >= n.bid",
        "test_prices.py::test_an_unsound_quote_is_shown_and_fires_nothing",
    ),
    code(
        "L8",
        "api.ingest_quotes",
        "n.bid >= n.limit_low and n.ask <= n.limit_high",
        "true",
        "test_prices.py::test_a_quote_outside_the_limits_of_the_day_fires_nothing",
    ),
    code("L8", "trade.worst_price", "v_quote.is_fresh is not true", "false", STALE),
    code(
        "L8",
        "trade.worst_price",
        "p_needs_live and v_quote.source <> 'live'",
        "false",
        "test_prices.py::test_a_real_broker_believes_only_live_prices",
    ),
    view("L8", "market.quotes_now", "f.status = 'CONNECTED'::text", "true", STALE),
    view("L8", "market.quotes_now", "f.last_heard_at >=", "now() >=", STALE),
    view("L8", "market.quotes_now", "LEAST(b.quote_ts, b.received_at) >=", "now() >=", STALE),
    # L9: told
    trigger("L9", INTENTS, "_950_record_new", EACH_TOLD),
    trigger("L9", INTENTS, "_960_record_change", EACH_TOLD),
    trigger("L9", ORDERS, "_950_record_new", EACH_TOLD),
    trigger("L9", ORDERS, "_960_record_change", EACH_TOLD),
    trigger("L9", FILLS, "_900_record", EACH_TOLD),
    trigger("L9", POSITIONS, "_900_record", EACH_TOLD),
    trigger(
        "L9",
        "risk.incidents",
        "_900_record",
        "test_fills.py::test_of_a_fill_that_fits_nothing_every_telling_is_kept",
    ),
    trigger(
        "L9",
        "risk.system_mode",
        "_900_keep_history",
        "test_history.py::test_a_change_by_direct_sql_is_told_too",
    ),
    trigger("L9", "risk.scoped_modes", "_900_keep_history", HALT_WAITS),
    trigger(
        "L9", "risk.mode_history", "_900_announce", "test_history.py::test_a_change_by_direct_sql_is_told_too"
    ),
    trigger(
        "L9",
        "risk.mode_history",
        "_100_append_only",
        "test_modes.py::test_history_of_modes_cannot_be_rewritten",
    ),
    trigger("L9", "risk.mode_history", "_110_no_truncate", MODES_KEPT),
    trigger("L9", "bus.events", "_100_append_only", EVENTS_KEPT),
    trigger("L9", "bus.events", "_110_no_truncate", EVENTS_KEPT),
    trigger("L9", "bus.events_default", "_110_no_truncate", EVENTS_KEPT),
    trigger("L9", "bus.events_from_0", "_110_no_truncate", EVENTS_KEPT),
    constraint("L9", "bus.seals", "seals_event_id_key", SEALS_KEPT),
    trigger("L9", "bus.seals", "_100_append_only", SEALS_KEPT),
    trigger("L9", "bus.seals", "_110_no_truncate", SEALS_KEPT),
    code(
        "L9",
        "api.make_partitions",
        "perform bus.guard_partition(",
        "perform concat(",
        "test_partitions.py::test_they_are_only_added_to",
    ),
    code(
        "L9",
        "api.drop_partitions",
        "or s.event_id is null",
        "",
        "test_partitions.py::test_one_event_that_is_not_sealed_keeps_its_partition",
    ),
    code(
        "L9",
        "api.drop_partitions",
        "e.at >= $1 or",
        "$1 is null or",
        "test_partitions.py::test_the_young_stay",
    ),
    code(
        "L9",
        "api.drop_partitions",
        "v_all := v_all || v_range;",
        "v_all := v_range;",
        "test_partitions.py::test_what_was_dropped_was_not_removed",
    ),
    trigger("L9", "strategy.gate_results", "_100_append_only", GATES_KEPT),
    trigger("L9", "strategy.gate_results", "_110_no_truncate", GATES_KEPT),
    # L11: what the weakest login may use
    code(
        "L11",
        "api.register_worker",
        "session_user = 'aegis_w_' || p_name",
        "session_user like 'aegis\\_w\\_%'",
        REGISTERS_AS_ITSELF,
    ),
    code(
        "L11",
        "api.register_worker",
        "p_name in ('strategy', 'strategy.' ||",
        "p_name not in (",
        REGISTERS_AS_ITSELF,
    ),
    code("L11", "api.register_worker", ") is not true then", ") is false then", REGISTERS_AS_ITSELF),
    code(
        "L11",
        "api.register_worker",
        "bus.is_text(p_host, 255)",
        "true",
        "test_exhaustion.py::test_a_process_says_where_it_is_in_few_words",
    ),
    code(
        "L11",
        "api.register_worker",
        "count(*) >= 30",
        "false",
        "test_exhaustion.py::test_a_login_registers_thirty_times_a_minute",
    ),
    code(
        "L11",
        "api.register_worker",
        "perform bus.forget_workers();",
        "",
        "test_exhaustion.py::test_of_a_strategy_the_fifty_newest_processes_and_the_living_are_kept",
    ),
    code(
        "L11",
        "api.hold_worker_lock",
        "l.objid <> p_worker_id::oid",
        "false",
        "test_exhaustion.py::test_a_session_holds_the_lock_of_one_worker",
    ),
    code("L11", "api.log_error", "not bus.may_write()", "false", WRITES_A_MINUTE),
    code("L11", "bus.may_write", "v_count % c_room <= c_most", "true", WRITES_A_MINUTE),
    code("L11", "bus.may_write", "v_count / c_room <> v_minute", "v_count = 0", WRITES_A_MINUTE),
    code(
        "L11",
        "api.heartbeat",
        "if bus.may_write() then",
        "if true then",
        "test_exhaustion.py::test_a_heartbeat_beyond_the_writes_of_a_minute_is_not_kept",
    ),
    trigger(
        "L11",
        "strategy.strategies",
        "_800_count_writes",
        WRITES_A_MINUTE,
    ),
    code(
        "L11",
        "bus.clip_json",
        "(pg_column_size(p_value) > p_most)",
        "false",
        "test_exhaustion.py::test_a_long_detail_is_kept_by_its_beginning",
    ),
    # L10: versioned
    code(
        "L10",
        "trade.tg_positions__derive",
        "new.version := old.version +",
        "new.version := new.version + 0 *",
        "test_history.py::test_each_change_of_a_positions_facts_raises_its_version",
    ),
    constraint("L10", POSITIONS, "positions_opened_iff_held", WRONG_POSITION),
    constraint("L10", POSITIONS, "positions_cost_while_held", WRONG_POSITION),
)

# Objects of the guarded tables that no single test can show: why each is not in the table above.
IMPLIED = {
    "trade.order_intents.order_intents_quantity_positive": "it would reserve nothing, as only an end may",
    "trade.orders.orders_side_known": "the side is the intent's",
    "trade.order_intents._900_notify_new": "a hint: L12 is tested without any",
    "trade.order_intents._910_notify_again": "a hint: L12 is tested without any",
    "trade.orders._900_notify": "a hint: L12 is tested without any",
}


@dataclass
class Runner:
    """A pytest plugin: runs each test once for each mutation that names it, and keeps what came of it."""

    wanted: Sequence[Mutation]
    outcomes: dict[Mutation, str] = field(default_factory=dict)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        mine = [m for m in self.wanted if m.function == metafunc.function.__name__]
        metafunc.parametrize("mutation", mine, indirect=True, ids=[m.removed for m in mine])

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self.outcomes.get(_mutation_of(item)) == "killed":
            pytest.skip("another case of the test has failed already")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        mutation = _mutation_of(item)
        if report.when == "call" and report.failed:
            self.outcomes[mutation] = "killed"
        elif report.when == "setup" and report.failed:
            self.outcomes.setdefault(mutation, "broken: " + str(report.longrepr).strip().splitlines()[-1])
        elif report.when == "call" and report.passed:
            self.outcomes.setdefault(mutation, "SURVIVED")
        return report


def _mutation_of(item: pytest.Item) -> Mutation:
    callspec = item.callspec  # type: ignore[attr-defined]
    found: Mutation = callspec.params["mutation"]
    return found


def run(wanted: Sequence[Mutation]) -> dict[Mutation, str]:
    """Each mutation and whether its test noticed: killed, SURVIVED, broken or never run."""
    from tests.sql.laws import market_kit

    market_kit.PATIENCE = timedelta(seconds=2)  # here most waits are in vain
    runner = Runner(wanted)
    nodes = sorted({mutation.node for mutation in wanted})
    pytest.main(
        ["-q", "--no-header", "--no-summary", "--tb=no", "-p", "no:cacheprovider", *nodes], plugins=[runner]
    )
    return {mutation: runner.outcomes.get(mutation, "never run") for mutation in wanted}


def select(words: Iterable[str]) -> list[Mutation]:
    words = list(words)
    return [
        m
        for m in MUTATIONS
        if not words or any(word in (m.law, m.removed) or word in m.removed for word in words)
    ]


def main(words: Sequence[str]) -> int:
    outcomes = run(select(words))
    print(f"\n{'law':<4} {'removed':<78} {'noticed by':<100} outcome")
    for mutation, outcome in outcomes.items():
        print(f"{mutation.law:<4} {mutation.removed[:78]:<78} {mutation.function[:100]:<100} {outcome}")
    alive = [mutation for mutation, outcome in outcomes.items() if outcome != "killed"]
    print(f"\n{len(outcomes) - len(alive)} of {len(outcomes)} killed")
    return 1 if alive or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
