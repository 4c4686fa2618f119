"""L9 and L10: history is append-only, tamper-evident and on disk, and positions have versions."""

from tests.mutations.kinds import Mutation, code, constraint, trigger
from tests.mutations.names import (
    FILLS,
    HALT_WAITS,
    INTENTS,
    MODES_KEPT,
    ORDERS,
    POSITIONS,
    UNMATCHED,
)

WRONG_POSITION = "test_history.py::test_a_position_has_a_cost_and_a_beginning_only_while_it_is_held"
EVENTS_KEPT = "test_history.py::test_events_are_only_added_to"
SEALS_KEPT = "test_partitions.py::test_seals_are_only_added_to_and_one_of_each_event"
GATES_KEPT = "test_history.py::test_the_answers_of_the_gates_are_only_added_to"
EACH_RECORDED = "test_history.py::test_each_change_of_an_intent_is_one_event_with_its_actor"
ON_DISK = "test_durable.py::test_its_transaction_waits_for_the_disk"
NO_SLIP = "test_forgery.py::test_history_is_not_dropped_by_a_slip"

MUTATIONS: tuple[Mutation, ...] = (
    code(
        "L10",
        "trade.tg_positions__derive",
        "new.version := old.version +",
        "new.version := new.version + 0 *",
        "test_history.py::test_each_change_of_a_positions_facts_raises_its_version",
    ),
    constraint("L10", POSITIONS, "positions_opened_iff_held", WRONG_POSITION),
    constraint("L10", POSITIONS, "positions_cost_while_held", WRONG_POSITION),
    trigger("L9", INTENTS, "_950_record_new", EACH_RECORDED),
    trigger("L9", INTENTS, "_960_record_change", EACH_RECORDED),
    trigger("L9", ORDERS, "_950_record_new", EACH_RECORDED),
    trigger("L9", ORDERS, "_960_record_change", EACH_RECORDED),
    trigger("L9", FILLS, "_900_record", EACH_RECORDED),
    trigger("L9", POSITIONS, "_900_record_change", EACH_RECORDED),
    trigger("L9", POSITIONS, "_910_record_new", EACH_RECORDED),
    trigger(
        "L9",
        "risk.incidents",
        "_900_record",
        "test_unmatched.py::test_of_a_fill_that_fits_nothing_every_report_is_kept",
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
        "test_unknown_mode.py::test_history_of_modes_cannot_be_rewritten",
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
    *(
        trigger("L9", "trade.unmatched_fills", name, UNMATCHED + "what_fits_nothing_is_never_removed")
        for name in ("_100_no_delete", "_110_no_truncate")
    ),
    code(
        "L9",
        "risk.outage_of",
        "lock table risk.outages in share row exclusive mode;",
        "",
        "test_outages.py::test_reports_that_come_together_wait_for_each_other",
    ),
    code(
        "L9",
        "api.record_outage",
        "perform bus.require_worker(p_worker_id);",
        "",
        "test_outages.py::test_nobody_reports_for_another_worker",
    ),
    code(
        "L9",
        "api.record_outage",
        ") is not true then",
        ") is false then",
        "test_outages.py::test_an_outage_without_a_time_or_a_reason_is_refused",
    ),
    code(
        "L9",
        "api.record_outage",
        "least(greatest(p_ago, '0 s'), '30 days')",
        "p_ago",
        "test_outages.py::test_an_outage_never_lies_in_the_future_nor_before_the_last_month",
    ),
    code(
        "L9",
        "api.record_late_exits",
        "and q.ts between o.began_at - interval '1 min' and bus.clock()",
        "",
        "test_outages.py::test_a_recording_s_times_of_another_day_say_nothing",
    ),
    code(
        "L9",
        "api.watch_workers",
        "if bus.clock() - bus.now() > interval '1 s' then",
        "if false then",
        "test_heartbeats.py::test_who_had_to_wait_for_the_heartbeats_accuses_nobody",
    ),
    code(
        "L6",
        "bus.event_origin",
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
    code(
        "L9",
        "bus.event_origin",
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
)
