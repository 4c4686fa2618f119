"""A call of each function of `api`, in a state in which it has as much work as possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import FILL, INTENT, OTHER, SYMBOL, Kit

Key: TypeAlias = tuple[int, ...] | tuple[int, int, int, str]
Call: TypeAlias = tuple[str, str, tuple[Any, ...]]

SECOND = "second"


def busy(kit: Kit) -> None:
    """Two accounts, two symbols, two owners; each with positions, resting orders and waiting intents."""
    kit.add_account(SECOND)
    kit.open_account(SECOND)
    kit.add_strategy()
    query = "select add_strategy('nemo', 'x:Y', %s, %s::text[], 90000000, 5000000, 'swing')"
    kit.call("desk", query, SECOND, [SYMBOL, OTHER])
    kit.call("desk", "select start_strategy('nemo')")
    for account, owner in (("demo", "momo"), (SECOND, "nemo")):
        for symbol in (SYMBOL, OTHER):
            kit.buy(10, 70_000, account=account, owner=owner, symbol=symbol, intent_type="ENTRY")
            kit.buy(10, 70_000, account=account, symbol=symbol)
    for order in kit.claim():
        kit.accept(order)
        kit.fill(order, 10, 70_000, account=order.account)
    for account, owner in ((SECOND, "nemo"), ("demo", "momo")):
        for symbol in (OTHER, SYMBOL):
            kit.sell(4, 74_000, account=account, owner=owner, symbol=symbol, intent_type="EXIT", ttl="1 h")
            kit.buy(1, 69_000, account=account, symbol=symbol, ttl="1 h")
    for order in kit.claim():
        kit.accept(order)
    for account, owner in ((SECOND, "nemo"), ("demo", "momo")):
        for symbol in (OTHER, SYMBOL):
            kit.sell(1, 75_000, account=account, owner=owner, symbol=symbol, intent_type="EXIT")
            kit.buy(1, 68_000, account=account, symbol=symbol)


def crash(kit: Kit) -> None:
    for symbol in (SYMBOL, OTHER):
        kit.quote(60_000, 60_100, symbol=symbol)


def some(kit: Kit, where: str, offset: int = 0) -> Any:
    return kit.look(f"select * from trade.orders where {where} order by order_id offset {offset} limit 1")


def resting(kit: Kit) -> Any:
    return some(kit, "status = 'SUBMITTED'")


def child(kit: Kit) -> Any:
    """The child order of an amend that the broker has not answered yet."""
    fired(kit)
    kit.rows("execution", "select order_id from claim_amends(%s, 100)", kit.worker())
    return some(kit, "is_pending")


def claimed(kit: Kit) -> Any:
    kit.claim()
    return some(kit, "status = 'SENDING'")


def doubtful(kit: Kit) -> Any:
    order = claimed(kit)
    kit.call("execution", "select order_unknown(%s, %s, 'x')", order.order_id, order.fence)
    kit.advance(minutes=1)
    return order


def given_up(kit: Kit) -> Any:
    """An order that we closed without the broker confirming its end."""
    order = claimed(kit)
    kit.call("execution", "select unsend(%s, %s)", order.order_id, order.fence)
    return order


def unheard(kit: Kit) -> Any:
    kit.advance(minutes=2)
    return resting(kit)


def fill_of(order: Any, kit: Kit) -> Call:
    account = kit.call(kit.db, "select account from trade.accounts where account_id = %s", order.account_id)
    args = (account, order.client_order_id, None, "L1", order.quantity, 70_000, 1, 1, kit.now)
    return "execution", FILL, args


def reported_again(kit: Kit) -> Call:
    """A known execution, reported again with another price, fee and tax."""
    station, query, args = fill_of(resting(kit), kit)
    assert kit.call(station, query, *args) == "RECORDED"
    return station, query, (*args[:5], args[5] + 1, 9, 9, kit.now)


def answer(verb: str, find: Callable[[Kit], Any], *more: Any) -> Callable[[Kit], Call]:
    def call(kit: Kit) -> Call:
        order = find(kit)
        places = ", ".join(["%s"] * (2 + len(more)))
        return "execution", f"select {verb}({places})", (order.order_id, order.fence, *more)

    return call


def decided(side: str, quantity: int) -> Callable[[Kit], Call]:
    args = ("demo", SYMBOL, side, quantity, 70_000, "test", "manual", "MANUAL", None, "1 min")
    return lambda _: ("desk", INTENT, args)


def after(prepare: Callable[[Kit], Any], *call: Any) -> Callable[[Kit], Call]:
    def made(kit: Kit) -> Call:
        prepare(kit)
        return call[0], call[1], call[2:]

    return made


def stale(kit: Kit) -> None:
    """Make the trigger that ships fire at its next sample."""
    kit.db.execute("update risk.triggers set is_enabled = true, samples = 1")
    kit.advance(seconds=301)


def halted(kit: Kit) -> int:
    kit.call("desk", "select halt('test')")
    return kit.sell(1, owner="momo", intent_type="EXIT")


def proposed(kit: Kit) -> Call:
    """Picks of both accounts, created in another order than the lock order."""
    for owner, symbol, side in (("nemo", OTHER, "SELL"), ("momo", OTHER, "SELL"), ("momo", SYMBOL, "SELL")):
        strategy = kit.connect(f"aegis_s_{owner}")
        kind = "EXIT" if side == "SELL" else "ADD"
        kit.call(strategy, "select propose(%s, %s, %s, 1)", symbol, side, kind)
    kit.db.execute("update strategy.strategies set budget = 1000000000")
    kit.call(kit.connect("aegis_s_nemo"), "select propose(%s, 'BUY', 'ADD', 1)", SYMBOL)
    return "router", "select route_picks(100)", ()


def disagreeing(kit: Kit) -> Call:
    for order in kit.rows(kit.db, "select order_id, fence from trade.orders where closed_at is null"):
        kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)
    kit.call("risk", "select expire_due()")
    fingerprint = kit.call("reconcile", "select holdings_fingerprint('demo')")
    snapshot = Jsonb({"holdings": {SYMBOL: 3, OTHER: 25}, "cash": 5})
    query = "select reconcile('demo', %s, %s)"
    assert kit.call("reconcile", query, fingerprint, snapshot) == "DIFFERS"
    return "reconcile", query, (fingerprint, snapshot)


def busted(_: Kit) -> Call:
    return "execution", "select bust_fill('demo', '005930', 'F1', '2026-03-02', 'test')", ()


def cumulative(kit: Kit) -> Call:
    order = resting(kit)
    account = kit.call(kit.db, "select account from trade.accounts where account_id = %s", order.account_id)
    query = "select record_cumulative(%s, %s, null, 1, 70000, 0, 0, %s)"
    return "execution", query, (account, order.client_order_id, kit.now)


def late(kit: Kit) -> None:
    kit.advance(hours=3)


def fired(kit: Kit) -> None:
    crash(kit)
    kit.call("exits", "select fire_exits()")


def cancels_asked(kit: Kit) -> None:
    for (intent_id,) in kit.db.execute(
        "select intent_id from trade.orders where status = 'SUBMITTED'"
    ).fetchall():
        kit.call("desk", "select cancel_intent(%s, 'test')", intent_id)


def by_worker(query: str, prepare: Callable[[Kit], Any] = lambda _: None) -> Callable[[Kit], Call]:
    def made(kit: Kit) -> Call:
        prepare(kit)
        return "execution", query, (kit.worker(),)

    return made


CALLS: dict[str, Callable[[Kit], Call]] = {
    "create_intent, a buy": decided("BUY", 1),
    "create_intent, a sell": decided("SELL", 1),
    "cancel_intent": lambda kit: ("desk", "select cancel_intent(%s, 'test')", (resting(kit).intent_id,)),
    "approve": lambda kit: ("desk", "select approve(%s, 'test')", (halted(kit),)),
    "reject": lambda kit: ("desk", "select reject(%s, 'test')", (halted(kit),)),
    "record_cash": lambda _: ("desk", "select record_cash('demo', 'withdrawal', -99000000, 'test')", ()),
    "halt": lambda _: ("desk", "select halt('test')", ()),
    "safe": lambda _: ("desk", "select safe('test')", ()),
    "resume": lambda _: ("desk", "select resumed from resume('test')", ()),
    "begin_run": lambda _: ("supervisor", "select run_number from begin_run()", ()),
    "route_picks": proposed,
    "fire_exits": after(crash, "exits", "select fire_exits()"),
    "enforce_modes": after(halted, "risk", "select enforce_modes()"),
    "evaluate_triggers": after(stale, "risk", "select evaluate_triggers()"),
    "expire_due": after(late, "risk", "select expire_due()"),
    "claim_intents": by_worker("select order_id from claim_intents(%s, 100)"),
    "claim_cancels": by_worker("select order_id from claim_cancels(%s, 100)", cancels_asked),
    "claim_doubts": by_worker("select order_id from claim_doubts(%s, 100)", doubtful),
    "claim_checks": by_worker("select order_id from claim_checks(%s, 100)", unheard),
    "declare_lost": lambda kit: ("desk", "select declare_lost(%s, 'test')", (unheard(kit).order_id,)),
    "claim_amends": by_worker("select order_id from claim_amends(%s, 100)", fired),
    "unsend": answer("unsend", claimed),
    "unsend, a child": answer("unsend", child),
    "order_accepted": answer("order_accepted", claimed, "B"),
    "order_accepted, a child": answer("order_accepted", child, "B"),
    "order_accepted, one that had ended": answer("order_accepted", given_up, "B"),
    "order_rejected": answer("order_rejected", claimed, "X", "no", False),
    "order_rejected, a child": answer("order_rejected", child, "X", "no", False),
    "order_unknown": answer("order_unknown", claimed, "x"),
    "order_not_found": answer("order_not_found", doubtful),
    "order_cancelled": answer("order_cancelled", resting, 0),
    "order_cancelled, a child": answer("order_cancelled", child, 0),
    "record_fill": lambda kit: fill_of(resting(kit), kit),
    "record_fill, a child": lambda kit: fill_of(child(kit), kit),
    "record_fill, one that had ended": lambda kit: fill_of(given_up(kit), kit),
    "record_fill, at another price": reported_again,
    "record_cumulative": cumulative,
    "bust_fill": busted,
    "reconcile": disagreeing,
}  # fmt: skip


# Functions that change nothing that the lock order covers.
ELSEWHERE = {
    "add_account", "add_instrument", "add_strategy", "adopt", "advance_consumer", "advance_fills_cursor",
    "close_incident", "run_marker",
    "cancel_pick", "drop_partitions", "feed_status", "heartbeat", "hold_worker_lock", "ingest_quotes",
    "ingest_trades", "log_error", "make_partitions", "measure_equity", "next_due", "open_feed",
    "paper_cancel", "paper_match", "paper_place", "paper_replace", "propose", "raise_incident", "read_events",
    "register_worker", "run_due_jobs", "seal_events", "set_override_code", "start_strategy", "stop_strategy",
    "stop_worker", "report_overdue", "report_waiting", "watch_sessions", "add_tick_table",
    "migration_is_running",
    "prices_reach", "record_late_exits", "record_outage", "watch_workers",
}  # fmt: skip
