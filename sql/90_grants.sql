-- 90_grants: who may call what.  It comes last, so that nothing above is missed.  Public gets nothing.

revoke all on all functions in schema api, market, trade, risk, strategy, learn, paper, bus from public;
revoke all on all tables in schema api from public;
revoke all on schema api, market, trade, risk, strategy, learn, paper, bus from public;

grant usage on schema api
to aegis_operator, aegis_strategy, aegis_feed, aegis_engine, aegis_executor, aegis_supervisor, aegis_viewer;

-- functions that views call with the reader's rights
grant execute on function
    bus.now, bus.clock, bus.worker_lock_class, bus.worker_is_alive, bus.has_beaten, market.is_enough
to aegis_operator, aegis_strategy, aegis_feed, aegis_engine, aegis_executor, aegis_viewer;

-- every process
grant execute on function
    api.register_worker,
    api.hold_worker_lock,
    api.heartbeat,
    api.stop_worker,
    api.log_error,
    api.next_due,
    api.migration_is_running
to aegis_strategy, aegis_feed, aegis_engine, aegis_executor;

-- every process except those of strategies
grant execute on function api.record_outage
to aegis_feed, aegis_engine, aegis_executor;

-- price_sync
grant execute on function
    api.open_feed,
    api.feed_position,
    api.feed_status,
    api.ingest_quotes,
    api.ingest_trades,
    api.prices_reach
to aegis_feed;
grant execute on function api.record_late_exits to aegis_feed;
grant select on api.prices, api.instruments, api.tick_sizes to aegis_feed;

-- strategies
grant execute on function
    api.propose,
    api.cancel_pick
to aegis_strategy;
grant select on api.my_strategy, api.my_positions, api.my_picks, api.prices, api.instruments to aegis_strategy;

-- router, exits, risk, supervisor
grant execute on function
    api.route_picks,
    api.fire_exits,
    api.enforce_modes,
    api.evaluate_triggers,
    api.expire_due,
    api.report_overdue,
    api.run_due_jobs,
    api.watch_sessions,
    api.work_waiting,
    api.raise_incident,
    api.watch_workers,
    api.report_waiting
to aegis_engine;

-- the supervisor only: starting a run asserts which database this is
grant execute on function
    api.begin_run,
    api.run_marker
to aegis_supervisor;

-- execution, reconcile
grant execute on function
    api.claim_intents,
    api.unsend,
    api.claim_amends,
    api.orders_waiting,
    api.order_accepted,
    api.order_rejected,
    api.order_unknown,
    api.order_not_found,
    api.claim_cancels,
    api.order_cancelled,
    api.claim_doubts,
    api.claim_checks,
    api.record_fill,
    api.record_cumulative,
    api.bust_fill,
    api.accounts_to_execute,
    api.accounts_to_reconcile,
    api.advance_fills_cursor,
    api.holdings_fingerprint,
    api.reconcile,
    api.paper_place,
    api.paper_replace,
    api.paper_cancel,
    api.paper_order,
    api.paper_match,
    api.paper_fills_since,
    api.paper_snapshot
to aegis_executor;

-- people
grant execute on function
    api.halt,
    api.safe,
    api.resume,
    api.adopt,
    api.set_override_code,
    api.approve,
    api.reject,
    api.cancel_intent,
    api.declare_lost,
    api.close_incident,
    api.create_intent,
    api.add_account,
    api.record_cash,
    api.add_tick_table,
    api.add_instrument,
    api.add_strategy,
    api.drop_partitions,
    api.start_strategy,
    api.stop_strategy
to aegis_operator;
grant update (mode, reason, code) on api.system_mode to aegis_operator;

-- everyone with read access
grant execute on function
    api.explain,
    api.explain_order,
    api.explain_pick,
    api.work_waiting,
    api.verify_seals
to aegis_viewer, aegis_operator;
grant execute on function
    api.read_events,
    api.advance_consumer
to aegis_viewer;
grant select on
    api.health, api.status, api.totals, api.system_mode, api.mode_history, api.accounts, api.positions,
    api.dust, api.cash_entries, api.performance, api.reconciliations, api.picks, api.gate_results,
    api.intents, api.orders, api.fills, api.prices, api.instruments, api.feeds, api.quarantine,
    api.approvals, api.incidents, api.incident_kinds, api.overdue, api.unmatched_fills, api.workers, api.strategies,
    api.events, api.seals,
    api.override_code, api.override_attempts, api.jobs, api.limits, api.triggers,
    api.latency, api.refusals, api.law_audit, api.intent_transitions, api.order_transitions,
    api.intent_types, api.exit_profiles, api.exit_rules, api.brokers, api.venues, api.tick_sizes, api.session_phases,
    api.fee_rates
to aegis_viewer, aegis_operator;
