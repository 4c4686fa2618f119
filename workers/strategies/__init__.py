"""The base class of strategies: a strategy sees prices and proposes trades; the database decides.

A whole strategy:

    from collections.abc import Iterable
    from workers.strategies import Price, Proposal, Strategy, parameter

    class Dip(Strategy):
        \"\"\"Buy what fell by `percent` from its high.\"\"\"

        percent = parameter(1.0, least=0.1, most=20)

        def start(self) -> None:  # noqa: B027 (a strategy without state needs none)
            self.high: dict[str, float] = {}

        def populate_indicators(self, price: Price) -> None:
            self.high[price.symbol] = max(self.high.get(price.symbol, 0.0), price.mid)

        def on_data(self, price: Price) -> Iterable[Proposal]:
            if price.mid < self.high[price.symbol] * (1 - self.percent / 100):
                self.high[price.symbol] = price.mid
                yield self.buy(price, f"fell {self.percent} % from its high")

The database sizes each proposal, passes it through its gates, arms stop and target and sells when they are
hit.  A strategy only decides when to propose.

Be deterministic: the same prices must give the same proposals, or a replay proves nothing.  Use no clock, no
random numbers and no network; count quotes, not seconds.  Indicators are not money and may be floats;
quantities and prices of a proposal are Decimal.  After a restart a strategy begins with empty indicators and
warms up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, ClassVar, Literal, TypeVar, cast

from workers.runtime.errors import AegisError

__all__ = ["Parameter", "Price", "Proposal", "Strategy", "StrategyError", "parameter"]

Number = TypeVar("Number", int, float)


class StrategyError(AegisError):
    """A strategy cannot be loaded, or its parameters are wrong."""


@dataclass(frozen=True, slots=True)
class Price:
    """The newest price of one symbol, from `api.prices`.

    A book may have only one side: at the upper daily price limit there are no asks, at the lower no bids.
    The missing side then has the price of the other side, so that strategies need no special case, and the
    size 0.  A proposal against the missing side is refused.
    """

    symbol: str
    bid: Decimal
    ask: Decimal
    received_at: datetime
    received_seq: int
    bid_size: Decimal = Decimal(0)
    ask_size: Decimal = Decimal(0)
    last: Decimal | None = None

    @property
    def mid(self) -> float:
        """The mid price as a float: for indicators, never for an order.

        In a one-sided book it is the price of the existing side.
        """
        return float(self.bid + self.ask) / 2

    @property
    def moment(self) -> tuple[datetime, int]:
        """The sort key of a symbol's prices; it is unique for each price."""
        return self.received_at, self.received_seq


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trade that a strategy proposes. The database sizes it if quantity is None, and caps its price."""

    symbol: str
    side: Literal["BUY", "SELL"]
    intent_type: str = "ENTRY"
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A numeric parameter with default and bounds; the strategy's row may set another value."""

    default: int | float
    least: int | float
    most: int | float

    def check(self, name: str, value: object) -> int | float:
        whole = isinstance(self.default, int)
        kind = "a whole number" if whole else "a number"
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        number = cast("int | float", value)
        if not fits or not self.least <= number <= self.most:
            raise StrategyError(f"{name} is {kind} from {self.least} to {self.most}, not {value!r}")
        return number if whole else float(number)


def parameter(default: Number, *, least: Number, most: Number) -> Number:
    """Declare a parameter in the class body; in the methods `self.<name>` is its value."""
    return cast("Number", Parameter(default, least, most))


class Strategy(ABC):
    """Base of all strategies. One object serves one row of `strategies`, with its symbols and parameters."""

    parameters: ClassVar[dict[str, Parameter]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Parameter)}
        cls.parameters = {**cls.parameters, **own}

    def __init__(self, symbols: Sequence[str], parameters: Mapping[str, object] | None = None) -> None:
        self.symbols = tuple(symbols)
        self.positions: Mapping[str, Decimal] = {}  # quantity held by symbol; updated by the worker
        values = dict(parameters or {})
        for name, declared in self.parameters.items():
            setattr(self, name, declared.check(name, values.pop(name, declared.default)))
        if values:
            raise StrategyError(self._unknown(next(iter(values))))
        self.start()

    def _unknown(self, name: str) -> str:
        known = ", ".join(self.parameters) or "none"
        close = get_close_matches(name, self.parameters, n=1)
        guess = f"; did you mean {close[0]}?" if close else ""
        return f"{type(self).__name__} has no parameter {name!r}, it has: {known}{guess}"

    def start(self) -> None:  # noqa: B027 (a strategy without state needs none)
        """Prepare state and check parameters against each other; raise StrategyError if they conflict."""

    def get_required_subscriptions(self) -> Sequence[str]:
        """The symbols whose prices the strategy needs: by default those of its row."""
        return self.symbols

    def populate_indicators(self, price: Price) -> None:  # noqa: B027
        """Update the indicators with a new price; called before `on_data`, for every price."""

    @abstractmethod
    def on_data(self, price: Price) -> Iterable[Proposal]:
        """Yield proposals, usually none. Called once for every new price of a symbol."""

    @staticmethod
    def buy(price: Price, reason: str) -> Proposal:
        """An entry at the market price, sized by the database."""
        return Proposal(price.symbol, "BUY", reason=reason)

    @staticmethod
    def sell(price: Price, reason: str) -> Proposal:
        """Sell the whole position in this symbol at the market price."""
        return Proposal(price.symbol, "SELL", "EXIT", reason=reason)
