"""L11 and L12: least privilege, open transactions, notifications."""

from tests.mutations.kinds import Mutation, code, trigger, view

REGISTERS_AS_ITSELF = "test_exhaustion.py::test_a_worker_registers_under_the_name_of_its_login_alone"
WRITES_A_MINUTE = "test_exhaustion.py::test_a_strategy_writes_so_many_errors_a_minute"
HALT_ENDS = "test_halt_ends_sessions.py::test_a_halt_ends_whoever_holds_what_it_needs"
OVER_LIMIT = "test_session_limits.py::test_a_transaction_over_its_limit_is_ended_and_named"
PLAIN_VIEW = """
    create or replace view api.system_mode as
    select s.mode, s.reason, s.changed_by, s.changed_at, s.evidence, null::text as code
    from risk.system_mode as s
"""

MUTATIONS: tuple[Mutation, ...] = (
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
        "then 30",
        "then 1000",
        "test_exhaustion.py::test_a_strategy_registers_thirty_times_a_minute",
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
    trigger("L11", "strategy.strategies", "_800_count_writes", WRITES_A_MINUTE),
    code(
        "L11",
        "bus.clip_json",
        "(pg_column_size(p_value) > p_most)",
        "false",
        "test_exhaustion.py::test_a_long_detail_is_kept_by_its_beginning",
    ),
    view(
        "L11",
        "risk.gate_locks",
        "l.mode <> 'AccessShareLock'::text",
        "l.mode = 'RowShareLock'::text",
        HALT_ENDS,
    ),
    code("L11", "risk.gate_holders", "where h.pid <> pg_backend_pid()", "where false", HALT_ENDS),
    view("L11", "risk.gate_locks", "('bus'::regnamespace)::oid,", "", HALT_ENDS),
    code(
        "L11",
        "risk.gate_holders",
        "where not k.granted and b.pid <> 0",
        "where false",
        "test_halt_ends_sessions.py::test_a_halt_passes_a_queue_for_the_events",
    ),
    Mutation(
        "L11",
        "api.system_mode: its with clause",
        PLAIN_VIEW,
        "test_session_limits.py::test_no_view_lets_a_login_lock_what_is_behind_it",
    ),
    code("L11", "bus.over_limit", "(p_session).idle_in_transaction)", "'01:00:00'::interval)", OVER_LIMIT),
    code("L11", "bus.over_limit", "(p_session).transaction)", "'01:00:00'::interval)", OVER_LIMIT),
    code(
        "L11",
        "bus.over_limit",
        "(p_session).statement)",
        "'01:00:00'::interval)",
        "test_session_limits.py::test_a_statement_over_its_limit_is_ended",
    ),
    code(
        "L11",
        "bus.over_limit",
        "(p_session).idle_in_the_way)",
        "'01:00:00'::interval)",
        "test_blocking_sessions.py::test_who_makes_a_fill_wait_is_named_and_ended",
    ),
    code(
        "L11",
        "bus.over_limit",
        "(p_session).in_the_way)",
        "'01:00:00'::interval)",
        "test_blocking_sessions.py::test_who_makes_a_fill_wait_is_named_and_ended",
    ),
    code(
        "L11",
        "trade.work_behind_locks",
        "from trade.exits_due as d",
        "from (select * from trade.exits_due limit 0) as d",
        "test_blocking_sessions.py::test_a_stop_that_is_skipped_is_named_and_its_holder_ended",
    ),
    code(
        "L11",
        "bus.watch_findings",
        "bus.blocking_sessions() as w",
        "bus.blocking_sessions() as w where false",
        "test_blocking_sessions.py::test_who_makes_a_fill_wait_is_named_and_ended",
    ),
    code(
        "L11",
        "api.watch_sessions",
        "v_unrecorded := v_unrecorded || v_finding;",
        "null;",
        "test_session_limits.py::test_what_cannot_be_recorded_now_is_recorded_by_the_next_look",
    ),
    code(
        "L11",
        "bus.door_function",
        "m.name[1]",
        "p_query",
        "test_session_limits.py::test_what_a_session_said_is_not_shown",
    ),
    view(
        "L11",
        "bus.blocked",
        "s.waits)",
        "false)",
        "test_blocking_sessions.py::test_of_a_queue_only_the_one_at_its_end_is_ended",
    ),
    code(
        "L11",
        "api.run_due_jobs",
        "when lock_not_available then",
        "when division_by_zero then",
        "test_held_locks.py::test_a_job_that_gets_no_lock_is_missed_and_reported_when_that_lasts",
    ),
    code(
        "L11",
        "api.run_due_jobs",
        "when others then",
        "when division_by_zero then",
        "test_held_locks.py::test_a_job_that_fails_is_reported_at_once_and_stops_no_other",
    ),
    code(
        "L11",
        "trade.lock_accounts",
        "continue;  -- leave it out",
        "raise;  -- leave it out",
        "test_held_locks.py::test_a_held_account_stops_no_pick_of_another",
    ),
    code(
        "L11",
        "trade.lock_free_intents",
        "perform trade.lock_intents(array[v_id]);",
        "raise lock_not_available;",
        "test_held_locks.py::test_what_is_held_of_one_account_stops_no_sweep_of_another",
    ),
    code(
        "L11",
        "api.make_partitions",
        "perform bus.guard_partition(",
        "lock table bus.events in access exclusive mode; perform bus.guard_partition(",
        "test_held_locks.py::test_a_partition_is_made_while_events_are_being_written",
    ),
    code(
        "L12",
        "trade.tg_order_intents__notify_new",
        "bus.notify('new_intent')",
        "bus.notify('new_intent', (select max(n.intent_id)::text from new_rows as n))",
        "test_exhaustion.py::test_a_hint_says_nothing_but_that_there_is_work",
    ),
    code(
        "L12",
        "strategy.tg_picks__notify",
        "bus.notify('new_pick')",
        "pg_notify('new_pick', '')",
        "test_exhaustion.py::test_every_hint_goes_where_a_full_queue_is_asked_about",
    ),
    code(
        "L12",
        "risk.tg_mode__announce",
        "return null;",
        "perform bus.notify('system_mode'); return null;",
        "test_exhaustion.py::test_a_change_of_mode_notifies_nobody",
    ),
    code(
        "L12",
        "api.migration_is_running",
        "AND pg_has_role(a.usesysid, 'aegis_owner'::name, 'MEMBER'::text)",
        "",
        "test_health.py::test_the_lock_of_a_login_that_may_not_deploy_is_no_migration",
    ),
    code(
        "L12",
        "bus.has_beaten",
        "ELSE '00:00:08'::interval",
        "ELSE '10:00:00'::interval",
        "test_heartbeats.py::test_after_three_missed_heartbeats_a_worker_is_not_alive_whatever_it_holds",
    ),
    code(
        "L12",
        "bus.has_beaten",
        "AND (p_heartbeat_at <= (bus.clock() + '00:00:08'::interval))",
        "",
        "test_heartbeats.py::test_a_heartbeat_from_before_the_clock_was_set_back_proves_nothing",
    ),
)
