"""Steps that bring about what others need: a position, a resting sell, and a price below its stop."""

from __future__ import annotations

from decimal import Decimal

from tests.prove.model.records import MINUTE, ZERO, Fill
from tests.prove.place import ACCOUNTS, COIN, STOCK, STRATEGY
from tests.prove.walk.answers import report_accepted
from tests.prove.walk.claims import amend, claim
from tests.prove.walk.decisions import create, fire_exits
from tests.prove.walk.fills import day, report_fill
from tests.prove.walk.market import MID, put_quote
from tests.prove.walk.walker import Walk


def hold(walk: Walk) -> None:
    """Buy for the strategy and fill the order, so that there is a position to protect and to sell."""
    symbol, key = walk.symbol(), f"key {next(walk.numbers)}"
    if walk.model.positions.get((ACCOUNTS[0], symbol, STRATEGY), ZERO) == 0:
        create(walk, ACCOUNTS[0], symbol, "BUY", Decimal(20), MID[symbol], STRATEGY, "ENTRY", key, MINUTE)
        claim(walk, 100)
        for order in [o for o in walk.model.orders.values() if o.intent.key == key]:
            number, now = f"F{next(walk.numbers)}", walk.model.now
            report_fill(walk, Fill(order, number, day(now), order.quantity, order.limit, *(ZERO,) * 3), now)


def rest(walk: Walk) -> None:
    """Place sells of the strategy above the market, which rest at the broker."""
    for symbol in (STOCK, COIN):
        free = walk.model.free_qty((ACCOUNTS[0], symbol, STRATEGY))
        if free > 0:
            key, limit = f"key {next(walk.numbers)}", MID[symbol] * Decimal("1.02")
            create(walk, ACCOUNTS[0], symbol, "SELL", free, limit, STRATEGY, "EXIT", key, MINUTE)
            claim(walk, 100)
            for order in [o for o in walk.model.orders.values() if o.intent.key == key]:
                report_accepted(walk, order, order.fence, None)


def crash(walk: Walk) -> None:
    """Let prices fall through every stop; exits fire and resting sells are amended."""
    for symbol in (STOCK, COIN):
        bid = MID[symbol] * Decimal("0.98")
        put_quote(walk, symbol, bid, bid + (100 if symbol == STOCK else Decimal("0.01")), walk.model.now)
    fire_exits(walk)
    amend(walk)
