"""A walk: how its steps choose, call the database and the model, and compare their answers."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from tests.prove.model.records import ZERO, Account, Instrument, Intent, No, Order
from tests.prove.model.state import Model
from tests.prove.place import ACCOUNTS, COIN, STOCK, STRATEGY, Place
from workers.runtime.errors import Refused

T = TypeVar("T")


class Violation(AssertionError):
    """The database did something that the laws do not allow."""


class Choices(Protocol):
    """The source of a walk's choices."""

    def number(self, low: int, high: int) -> int: ...

    def one_of(self, options: Sequence[T]) -> T: ...


class Walk:
    """One walk: its place, its model, its choices, and how a step makes a call and compares the answers."""

    def __init__(self, place: Place) -> None:
        place.wipe()
        self.place = place
        self.choices: Choices
        self.model = Model(
            now=place.now,
            instruments={
                STOCK: Instrument(STOCK, Decimal(1), ZERO, None),
                COIN: Instrument(COIN, Decimal("0.001"), Decimal(5), Decimal("0.01")),
            },
            accounts={name: Account(name) for name in ACCOUNTS},
            strategy=STRATEGY,
            run=0,
            alive=set(place.workers.values()),
        )
        self.seqs = itertools.count(1)
        self.numbers = itertools.count(1)
        self.newest = 0  # the last intent that the model knows

    @property
    def reached(self) -> Counter[str]:
        return self.model.reached

    # -- calling both --------------------------------------------------------------------------------------

    def attempt(self, station: str, query: str, *args: Any) -> tuple[str, Any]:
        """Call the database; return "ok" and the value, or "no" and the SQLSTATE."""
        try:
            return "ok", self.place.ask(station, query, *args)
        except Refused as refused:
            return "no", refused.sqlstate

    def both(self, station: str, query: str, args: tuple[Any, ...], expected: Callable[[], Any]) -> Any:
        """Call both; their answers must agree.  Return the answer, or None if both refused."""
        said = self.attempt(station, query, *args)
        try:
            answer = expected()
        except No as no:
            if said != ("no", no.code):
                raise Violation(f"{query} {args}: said {said}, must refuse with {no.code}") from None
            return None
        if isinstance(answer, Intent):
            if said[0] != "ok" or (answer.id and answer.id != said[1]):
                raise Violation(f"{query} {args}: said {said}, must admit {answer}")
            return said[1]
        if said[0] != "ok" or (said[1] or None) != (answer or None):
            raise Violation(f"{query} {args}: said {said}, must answer {answer!r}")
        return answer

    def must(self, holds: bool, what: str) -> None:
        if not holds:
            raise Violation(what)

    def let_pass(self, seconds: float) -> None:
        self.place.now += dt.timedelta(seconds=seconds)
        self.model.now = self.place.now

    # -- choosing ------------------------------------------------------------------------------------------

    def chance(self, percent: int) -> bool:
        return self.choices.number(1, 100) <= percent

    def account(self) -> str:
        return self.choices.one_of(ACCOUNTS)

    def symbol(self) -> str:
        return self.choices.one_of((STOCK, COIN))

    def owner(self, account: str) -> str:
        return STRATEGY if account == ACCOUNTS[0] and self.chance(50) else "manual"

    def order(self) -> Order | None:
        """Any order, mostly an open one."""
        orders = list(self.model.orders.values())
        opened = [o for o in orders if not o.closed]
        children = [o for o in opened if o.is_pending]
        if children and self.chance(50):
            orders = [c.parent for c in children if c.parent] if self.chance(30) else children
        elif opened and self.chance(80):
            orders = opened
        return self.choices.one_of(orders) if orders else None

    def fence(self, order: Order) -> int:
        return order.fence - 1 if self.chance(8) else order.fence

    def quantity(self, symbol: str) -> Decimal:
        small = Decimal(self.choices.number(1, 40))
        return small if symbol == STOCK else small * Decimal("0.37")

    def station(self) -> str:
        return self.choices.one_of(("execution", "other"))

    def intent(self) -> Intent | None:
        """Any intent, mostly an open one."""
        intents = list(self.model.intents.values())
        opened = [i for i in intents if not i.closed]
        if opened and self.chance(85):
            intents = opened
        return self.choices.one_of(intents) if intents else None

    def one_of_if_any(self, orders: Sequence[Order]) -> Order | None:
        return self.choices.one_of(list(orders)) if orders else None
