-- 90_grants: who may call what.  It comes last, so that nothing above is missed.  Public gets nothing.

revoke all on all functions in schema api, market, trade, risk, strategy, learn, paper, bus from public;
revoke all on all tables in schema api from public;
revoke all on schema api, market, trade, risk, strategy, learn, paper, bus from public;

grant usage on schema api
to aegis_operator, aegis_strategy, aegis_feed, aegis_engine, aegis_executor, aegis_supervisor, aegis_viewer;

-- functions that views call with the reader's rights
grant execute on function bus.now(), bus.clock(), bus.worker_lock_class(), bus.worker_is_alive(bigint),
    bus.has_beaten(timestamptz, jsonb),
    market.is_enough(market.instruments, numeric, numeric)
to aegis_operator, aegis_strategy, aegis_feed, aegis_engine, aegis_executor, aegis_viewer;

-- every process
grant execute on function
    api.register_worker(text, integer, text),
    api.hold_worker_lock(bigint),
    api.heartbeat(bigint, text, jsonb),
    api.stop_worker(bigint),
    api.log_error(bigint, text, text, jsonb),
    api.next_due(),
    api.migration_is_running()
to aegis_strategy, aegis_feed, aegis_engine, aegis_executor;

-- every process except those of strategies
grant execute on function api.record_outage(bigint, interval, interval, integer, text)
to aegis_feed, aegis_engine, aegis_executor;

-- price_sync
grant execute on function
    api.open_feed(text, text, text),
    api.feed_position(text),
    api.feed_status(text, text, text),
    api.ingest_quotes(text, text[], timestamptz[], bigint[], numeric[], numeric[], numeric[], numeric[]),
    api.ingest_trades(text, text[], timestamptz[], bigint[], numeric[], numeric[])
to aegis_feed;
grant execute on function api.record_late_exits(bigint, text, text[], timestamptz[], numeric[]) to aegis_feed;
grant select on api.prices, api.instruments, api.tick_sizes to aegis_feed;

-- strategies
grant execute on function
    api.propose(text, text, text, numeric, numeric, text, text, interval),
    api.cancel_pick(bigint)
to aegis_strategy;
grant select on api.my_strategy, api.my_positions, api.my_picks, api.prices, api.instruments to aegis_strategy;

-- router, exits, risk, supervisor
grant execute on function
    api.route_picks(integer),
    api.fire_exits(text[]),
    api.enforce_modes(),
    api.evaluate_triggers(),
    api.expire_due(),
    api.report_overdue(),
    api.run_due_jobs(),
    api.watch_sessions(jsonb),
    api.work_waiting(),
    api.raise_incident(text, text, jsonb),
    api.watch_workers(),
    api.report_waiting(text[], text[])
to aegis_engine;

-- the supervisor only: starting a run asserts which database this is
grant execute on function
    api.begin_run(text),
    api.run_marker(text)
to aegis_supervisor;

-- execution, reconcile
grant execute on function
    api.claim_intents(bigint, integer),
    api.unsend(bigint, bigint),
    api.claim_amends(bigint, integer),
    api.orders_waiting(),
    api.order_accepted(bigint, bigint, text, numeric),
    api.order_rejected(bigint, bigint, text, text, boolean),
    api.order_unknown(bigint, bigint, text),
    api.order_not_found(bigint, bigint),
    api.claim_cancels(bigint, integer),
    api.order_cancelled(bigint, bigint, numeric),
    api.claim_doubts(bigint, integer),
    api.claim_checks(bigint, integer),
    api.record_fill(text, text, text, text, numeric, numeric, numeric, numeric, timestamptz, numeric),
    api.record_cumulative(text, text, text, numeric, numeric, numeric, numeric, timestamptz),
    api.bust_fill(text, text, text, date, text),
    api.accounts_to_execute(),
    api.accounts_to_reconcile(),
    api.advance_fills_cursor(text, text),
    api.holdings_mark(text),
    api.reconcile(text, text, jsonb),
    api.paper_place(text, text, text, text, text, numeric, numeric),
    api.paper_replace(text, text, numeric),
    api.paper_cancel(text),
    api.paper_order(text),
    api.paper_match(text[]),
    api.paper_fills_since(text, bigint, integer),
    api.paper_snapshot(text)
to aegis_executor;

-- people
grant execute on function
    api.halt(text),
    api.safe(text),
    api.resume(text, text),
    api.adopt(text, text),
    api.set_override_code(text, text),
    api.approve(bigint, text),
    api.reject(bigint, text),
    api.cancel_intent(bigint, text),
    api.declare_lost(bigint, text),
    api.close_incident(bigint, text),
    api.create_intent(text, text, text, numeric, numeric, text, text, text, text, interval),
    api.add_account(text, text, text, text, text, numeric),
    api.record_cash(text, text, numeric, text, text),
    api.add_tick_table(text, numeric[], numeric[]),
    api.add_instrument(text, text, text, text, text, numeric, numeric),
    api.add_strategy(text, text, text, text[], numeric, numeric, text, jsonb),
    api.drop_partitions(timestamptz, text),
    api.start_strategy(text),
    api.stop_strategy(text)
to aegis_operator;
grant update (mode, reason, code) on api.system_mode to aegis_operator;

-- everyone with read access
grant execute on function
    api.explain(bigint),
    api.explain_order(bigint),
    api.explain_pick(bigint),
    api.work_waiting(),
    api.verify_seals()
to aegis_viewer, aegis_operator;
grant execute on function
    api.read_events(text, integer),
    api.advance_consumer(text, bigint)
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
