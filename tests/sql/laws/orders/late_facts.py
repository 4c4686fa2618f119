"""The states of an order and its intent, and the facts that may arrive late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.sql.laws.market_kit import FILL, Kit

READ = "select advance_fills_cursor('demo', '')"


@dataclass
class Case:
    """One pair: its own symbol, the order the fact is about, and the number of fills reported so far."""

    kit: Kit
    symbol: str
    order: Any = None
    fills: int = 0

    @property
    def row(self) -> Any:
        return self.kit.order(self.order.order_id)

    def answer(self, function: str, *args: Any) -> Any:
        places = ", ".join(["%s"] * (len(args) + 2))
        return self.kit.call(
            "execution", f"select {function}({places})", self.order.order_id, self.row.fence, *args
        )

    def fill(self, quantity: Any, *, number: str | None = None, day: int = 0, price: int = 70_000) -> Any:
        self.fills += number is None
        at = f"2026-03-0{2 + day} 23:59:59.9+09" if day == 0 else f"2026-03-0{2 + day} 00:00:00+09"
        args = (number or self.number(self.fills), quantity, price, 0, 0, at)
        return self.kit.call("execution", FILL, "demo", self.order.client_order_id, None, *args)

    def number(self, nth: int) -> str:
        return f"{self.order.order_id}/{nth}"

    def not_found(self) -> Any:
        self.kit.advance(seconds=7)
        self.kit.call("execution", READ)
        return self.answer("order_not_found")


# -- the states --------------------------------------------------------------------------------------------


def plain(case: Case) -> None:
    case.kit.buy(10, 70_000, symbol=case.symbol, ttl="1 day")
    case.order = case.kit.claim_one()


def amend(case: Case) -> Any:
    """Let a stop amend a resting take-profit of ten into a sell that must fill; return the parent."""
    kit = case.kit
    kit.hold(10, owner="momo", symbol=case.symbol, ttl="1 day")
    kit.sell(10, 74_000, owner="momo", intent_type="EXIT", symbol=case.symbol, ttl="1 day")
    case.order = parent = kit.claim_one()
    case.answer("order_accepted", f"B{parent.order_id}")
    kit.quote(60_000, 60_100, symbol=case.symbol)
    assert kit.call("exits", "select fire_exits(%s)", [case.symbol]) == 1
    (case.order,) = kit.rows("execution", "select * from claim_amends(%s, 10)", kit.worker())
    return parent


def submitted(case: Case) -> None:
    plain(case)
    case.answer("order_accepted", f"B{case.order.order_id}")


def partial(case: Case) -> None:
    submitted(case)
    case.fill(4)


def never_had(case: Case) -> None:
    case.answer("order_unknown", "timeout")
    assert case.not_found() == "CANCELLED"


def tried_again(case: Case) -> None:
    plain(case)
    never_had(case)
    again = case.kit.claim_one()
    case.kit.accept(again)


def lost(case: Case) -> None:
    submitted(case)
    assert (case.not_found(), case.not_found()) == ("IN_DOUBT", "CANCELLED")


def parent_of(case: Case, what: str) -> None:
    parent = amend(case)
    if what == "replaced":
        case.answer("order_accepted", f"B{case.order.order_id}", None)
    elif what == "cancelled":
        case.answer("order_rejected", "X", "no", False)
    case.order = parent
    if what == "cancelled":
        case.answer("order_cancelled", 0)


def then(*steps: Callable[[Case], Any]) -> Callable[[Case], None]:
    def build(case: Case) -> None:
        for step in steps:
            step(case)

    return build


UNKNOWN = lambda c: c.answer("order_unknown", "timeout")  # noqa: E731
REFUSED = lambda c: c.answer("order_rejected", "X", "no", False)  # noqa: E731
BUSY = lambda c: c.answer("order_rejected", "X", "later", True)  # noqa: E731
UNSENT = lambda c: c.answer("unsend")  # noqa: E731
ENDED = lambda c: c.answer("order_cancelled", 0)  # noqa: E731
TAKEN = lambda c: c.answer("order_accepted", f"B{c.order.order_id}", None)  # noqa: E731


STATES: dict[str, Callable[[Case], None]] = {
    "sending": plain,
    "in doubt": then(plain, UNKNOWN),
    "submitted": submitted,
    "partly filled": partial,
    "filled": then(submitted, lambda c: c.fill(10)),
    "cancelled by the broker": then(submitted, ENDED),
    "partly filled, cancelled by the broker": then(partial, lambda c: c.answer("order_cancelled", 4)),
    "never had, waits": then(plain, never_had),
    "never had, tried again": tried_again,
    "unsent": then(plain, UNSENT),
    "refused": then(plain, REFUSED),
    "refused for now": then(plain, BUSY),
    "partly filled, rest refused": then(partial, REFUSED),
    "lost": lost,
    "stray": then(plain, REFUSED, TAKEN),
    "amend: parent": lambda c: parent_of(c, "under way"),
    "amend: parent replaced": lambda c: parent_of(c, "replaced"),
    "amend: parent cancelled": lambda c: parent_of(c, "cancelled"),
    "amend: child sending": then(amend),
    "amend: child in doubt": then(amend, UNKNOWN),
    "amend: child never had": then(amend, never_had),
    "amend: child refused": then(amend, REFUSED),
    "amend: child unsent": then(amend, UNSENT),
    "amend: child in place": then(amend, TAKEN),
    "amend: child cancelled by the broker": then(amend, ENDED),
}


# -- the facts ---------------------------------------------------------------------------------------------


def cancelled(case: Case, missing: int = 0) -> Any:
    row = case.row
    return case.answer("order_cancelled", row.filled_qty + row.overfill_qty + missing)


def total(case: Case) -> Any:
    query = "select record_cumulative('demo', %s, null, %s, %s, 0, 0, null)"
    done = case.row.filled_qty + 3
    return case.kit.call("execution", query, case.order.client_order_id, done, done * 70_000)


def bust(case: Case) -> Any:
    query = "select bust_fill('demo', %s, %s, '2026-03-02', 'x')"
    return case.kit.call("execution", query, case.symbol, case.number(1))


FACTS: dict[str, Callable[[Case], Any]] = {
    "accepted": lambda c: TAKEN(c),
    "refused": lambda c: REFUSED(c),
    "refused for now": lambda c: BUSY(c),
    "unknown": lambda c: UNKNOWN(c),
    "not found": lambda c: c.not_found(),
    "cancelled": cancelled,
    "cancelled, fills missing": lambda c: cancelled(c, 2),
    "filled in part": lambda c: c.fill(3),
    "filled whole": lambda c: c.fill(max(c.row.quantity - c.row.filled_qty, 1)),
    "filled beyond": lambda c: c.fill(c.row.quantity - c.row.filled_qty + 2),
    "a total": total,
    "bust": bust,
}
OF_A_FILL: dict[str, Callable[[Case], Any]] = {
    "reported for another day": lambda c: c.fill(
        c.kit.look(FIRST, c.number(1)).quantity, number=c.number(1), day=1
    ),
    "reported at another price": lambda c: c.fill(
        c.kit.look(FIRST, c.number(1)).quantity, number=c.number(1), price=70_100
    ),
    "taken back and corrected": lambda c: (
        bust(c),
        c.fill(c.kit.look(FIRST, c.number(1)).quantity, number=c.number(1), price=69_000),
    )[1],
}
FIRST = "select quantity from trade.fills where broker_fill_id = %s"
