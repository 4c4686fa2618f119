"""All steps of a walk, each with its weight in the random choice, and how a walk begins."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from tests.prove.model.accounts import record_cash
from tests.prove.place import ACCOUNTS, COIN, STOCK, Place
from tests.prove.walk import (
    answers,
    claims,
    decisions,
    fills,
    late,
    market,
    people,
    positions,
    reconciliation,
)
from tests.prove.walk.compare import compare
from tests.prove.walk.walker import Walk

Step = Callable[[Walk], None]

# A seed chooses by the order of this table: another order makes other walks.
STEPS: dict[str, tuple[Step, int]] = {
    "wait": (market.wait, 5), "quote": (market.quote, 3), "quotes": (market.quotes, 4),
    "move_cash": (market.move_cash, 2),
    "create_intent": (decisions.create_intent, 14), "propose": (decisions.propose, 4),
    "route": (decisions.route, 2), "fire_exits": (decisions.fire_exits, 3),
    "hold": (positions.hold, 4), "rest": (positions.rest, 3), "crash": (positions.crash, 4),
    "claim": (claims.claim, 12), "amend": (claims.amend, 4),
    "accept": (answers.accept, 9), "reject": (answers.reject, 3), "unknown": (answers.unknown, 3),
    "unsend": (answers.unsend, 2), "not_found": (answers.not_found, 3),
    "ask_about_doubts": (claims.ask_about_doubts, 3), "claim_cancels": (claims.claim_cancels, 3),
    "cancelled": (answers.cancelled, 4), "kill": (claims.kill, 1),
    "fill": (fills.fill, 12), "fill_again": (fills.fill_again, 2),
    "fill_nobody_asked_for": (fills.fill_nobody_asked_for, 1), "cumulative": (fills.cumulative, 4),
    "bust": (fills.bust, 2),
    "expire": (people.expire, 2), "enforce": (people.enforce, 2), "mode": (people.mode, 2),
    "decide": (people.decide, 3), "cancel": (people.cancel, 4), "restart": (people.restart, 1),
    "agree": (reconciliation.agree, 4), "disagree": (reconciliation.disagree, 2),
    "check": (claims.check, 3), "read_fills": (late.read_fills, 3), "forget": (late.forget, 3),
    "declare_lost": (late.declare_lost, 2), "accept_late": (late.accept_late, 3),
    "fill_late": (late.fill_late, 3), "cancelled_late": (late.cancelled_late, 2),
    "midnight": (late.midnight, 2), "correct": (late.correct, 3), "late_child": (late.late_child, 3),
}  # fmt: skip


def begin(place: Place) -> Walk:
    """Start a walk in an empty market: deposit cash, reconcile the accounts and quote prices."""
    walk = Walk(place)
    for name in ACCOUNTS:
        walk.both(
            "desk",
            "select record_cash(%s, 'deposit', 50000000, 'begin')",
            (name,),
            partial(record_cash, walk.model, name, Decimal(50_000_000)),
        )
        reconciliation.reconcile(walk, name, {}, None)
    for symbol in (STOCK, COIN):
        bid = market.MID[symbol]
        market.put_quote(walk, symbol, bid, bid * Decimal("1.002"), walk.model.now)
    compare(walk)
    return walk


def take(walk: Walk, name: str) -> None:
    """Take one step, then compare the database with the model."""
    step, _ = STEPS[name]
    step(walk)
    compare(walk)
