"""Each state of an order and its intent, combined with each fact that may arrive late.

The expected outcomes are in late_facts.txt, one line per pair.  After an intended change, write the file
again and review the difference:

    AEGIS_TEST_UPDATE=1 python -m pytest tests/sql/laws/orders/test_late_facts.py

The test asserts what holds for every pair: the laws, that exactly what can still trade is reserved, and
that nothing is stuck once the broker has answered every question.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sql.laws.market_kit import Kit
from tests.sql.laws.orders.late_facts import FACTS, OF_A_FILL, READ, STATES, Case
from workers.runtime.errors import Refused

TABLE = Path(__file__).parent / "late_facts.txt"
LIVE = """
select
    (select count(*) from trade.orders where closed_at is null or stray_since is not null) as orders,
    (select count(*) from trade.order_intents where closed_at is null) as intents,
    (select sum(locked_qty) from trade.positions) as shares,
    (select locked_cash from trade.balances) as cash
"""


def said(case: Case, fact: Callable[[Case], Any]) -> str:
    try:
        return str(fact(case) or "ok")
    except Refused as refused:
        return str(refused.sqlstate)


def outcome(case: Case, answer: str) -> str:
    """Describe the outcome on one line."""
    kit = case.kit
    orders = kit.rows(
        kit.db,
        "select o.*, i.symbol from trade.orders o join market.instruments i using (instrument_id)"
        " where symbol = %s and o.intent_id = %s order by order_id",
        case.symbol,
        case.row.intent_id,
    )
    intent = kit.intent_row(case.row.intent_id)
    words = [
        ("*" if o.order_id == case.order.order_id else "")
        + o.status
        + f" {o.filled_qty}/{o.quantity}"
        + (" pending" if o.is_pending else "")
        + (" stray" if o.stray_since else " cancel" if o.cancel_requested_at and not o.closed_at else "")
        for o in orders
    ]
    rest = 0 if intent.closed_at else intent.quantity - intent.filled_qty
    strays = sum(o.quantity - o.filled_qty for o in orders if o.stray_since)
    lives = [o for o in orders if o.closed_at is None]
    lives = [o for o in lives if not o.is_pending] or lives  # a child counts if its parent is gone
    if not intent.closed_at and intent.status not in ("NEW", "PENDING_APPROVAL"):
        (live,) = lives  # exactly one
        assert live.quantity - live.filled_qty == rest or live.cancel_requested_at, (
            "what can trade is reserved"
        )
    incidents = kit.rows(
        kit.db,
        "select kind from risk.incidents where closed_at is null and (subject like %s or subject like %s"
        " or subject like %s or subject like %s) order by kind",
        f"%order {case.order.order_id}",
        f"%/{case.number(1)}",
        f"%{case.order.client_order_id}%",
        f"intent {case.row.intent_id}",
    )
    return (
        f"{answer}: {', '.join(words)}; {intent.status} {intent.filled_qty}+{intent.overfill_qty},"
        f" reserves {rest}+{strays}; {', '.join(i.kind for i in incidents) or '-'}"
    )


def settle(kit: Kit) -> None:
    """Let the broker answer every cancel and question until none is left."""
    kit.db.execute("update trade.brokers set checked_at = null")
    for _ in range(8):
        kit.advance(seconds=11)
        kit.call("execution", READ)
        for query in ("claim_cancels", "claim_doubts"):
            for ref in kit.rows("execution", f"select * from {query}(%s, 1000)", kit.worker()):
                row = kit.order(ref.order_id)
                if query == "claim_cancels":
                    args = (ref.order_id, ref.fence, row.filled_qty + row.overfill_qty)
                    kit.call("execution", "select order_cancelled(%s, %s, %s)", *args)
                else:
                    kit.call("execution", "select order_not_found(%s, %s)", ref.order_id, ref.fence)


def table() -> Iterator[tuple[str, str]]:
    for line in TABLE.read_text().splitlines():
        pair, _, rest = line.partition(" -> ")
        yield pair, rest


@pytest.mark.parametrize("role", ["plain", "amend"])
def test_what_becomes_of_every_state_and_every_late_fact(kit: Kit, role: str) -> None:
    states = {name: build for name, build in STATES.items() if name.startswith("amend") == (role == "amend")}
    pairs = [
        (state, fact)
        for state, build in states.items()
        for fact in (*FACTS, *(OF_A_FILL if "filled" in state else ()))
    ]
    symbols = {pair: f"S{n}" for n, pair in enumerate(pairs)}
    for symbol in symbols.values():
        kit.add_symbol(symbol)
    kit.move_cash(10_000_000_000)
    kit.add_strategy(symbols=list(symbols.values()), budget=10**10, notional=10**7)
    found = {}
    for (state, fact), symbol in symbols.items():
        case = Case(kit, symbol)
        states[state](case)
        answer = said(case, (FACTS | OF_A_FILL)[fact])
        found[f"{state} | {fact}"] = outcome(case, answer)
        for row in kit.rows(
            kit.db, "select intent_id from trade.order_intents where status in ('NEW', 'PENDING_APPROVAL')"
        ):
            kit.call("desk", "select cancel_intent(%s, 'the next pair')", row.intent_id)
    old = dict(table()) if TABLE.exists() else {}
    if os.environ.get("AEGIS_TEST_UPDATE"):
        merged = {**old, **found}
        order = [f"{s} | {f}" for s in STATES for f in (*FACTS, *OF_A_FILL)]
        TABLE.write_text("".join(f"{pair} -> {merged[pair]}\n" for pair in order if pair in merged))
    else:
        assert found == {pair: old.get(pair) for pair in found}
    assert kit.audit() == []

    # Nothing is stuck: once people cancel the rest and the broker has answered, nothing is reserved.
    for row in kit.rows(kit.db, "select intent_id from trade.order_intents where closed_at is null"):
        kit.call("desk", "select cancel_intent(%s, 'over')", row.intent_id)
    settle(kit)
    assert [tuple(row) for row in kit.rows(kit.db, LIVE)] == [(0, 0, 0, 0)]
    assert kit.audit() == []
    # The stop of every position still held fires again.
    held = kit.rows(kit.db, "select * from trade.positions where owner = 'momo' and qty > 0")
    for symbol in symbols.values():
        kit.quote(60_000, 60_100, symbol=symbol)
    assert kit.call("exits", "select fire_exits()") == len(held)
