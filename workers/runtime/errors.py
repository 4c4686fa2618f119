"""One class for each SQLSTATE the database refuses with, the same for psycopg and asyncpg.

The classes below belong to no driver.  `teach_psycopg` and `teach_asyncpg` create driver-specific subclasses
and register them in the table where the driver looks up an SQLSTATE.  A driver that is already imported is
taught here; code that imports a driver later calls its function.  So a worker, which uses only asyncpg, does
not load 13 MB of psycopg, and `except TradingHalted` works with both drivers.
"""

from __future__ import annotations

import sys
from types import new_class
from typing import Any, ClassVar


class AegisError(Exception):
    """An error that Aegis can explain: a message with one fact, and a hint on what to do."""

    message: str
    detail: str | None = None
    hint: str | None = None

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class Refused(AegisError):
    """A business rule refused the request; nothing was changed."""

    sqlstate: ClassVar[str] = "TR000"

    def __init_subclass__(cls, code: str | None = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.sqlstate = code
            CODES[code] = cls


CODES: dict[str, type[Refused]] = {}
"""Every SQLSTATE of class TR that the database may raise, and its class."""


class TradingHalted(Refused, code="TRM01"):
    """The mode of the system, broker or account forbids this."""


class WrongIsolation(Refused, code="TRM02"):
    """The transaction's isolation level could miss a halt that commits meanwhile."""


class ApprovalNeeded(Refused, code="TRM03"):
    """A person has to approve this first."""


class NotEnoughQuantity(Refused, code="TRQ01"):
    """The position has less unreserved quantity than requested."""


class QuantityBreached(Refused, code="TRQ02"):
    """The broker holds less than was reserved; the symbol takes no new intents until that is resolved."""


class NotEnoughCash(Refused, code="TRC01"):
    """The account has less unreserved cash than requested."""


class CashBreached(Refused, code="TRC02"):
    """The account holds less cash than was reserved; it takes no new buys until that is resolved."""


class IllegalMove(Refused, code="TRL01"):
    """The lifecycle does not allow this change of status."""


class AppendOnly(Refused, code="TRL02"):
    """History is append-only, and decisions once stored are fixed."""


class LostFence(Refused, code="TRL03"):
    """Another process has taken over this order."""


class ExposureExceeded(Refused, code="TRL04"):
    """The order exceeds what its intent has left, or is priced beyond the intent's worst price."""


class StalePrice(Refused, code="TRP01"):
    """No price is fresh enough for this decision."""


class PriceOutOfLimits(Refused, code="TRP02"):
    """The price is outside what the venue or our limits allow."""


class MarketClosed(Refused, code="TRS01"):
    """The venue is closed now."""


class LimitExceeded(Refused, code="TRX01"):
    """A limit on size, number or concentration would be exceeded."""


class CircuitOpen(Refused, code="TRB01"):
    """The broker has failed too often in a row; calls to it are paused."""


class WrongCode(Refused, code="TRA01"):
    """The override code is wrong."""


class CodeLocked(Refused, code="TRA02"):
    """Too many wrong codes were entered; no code is accepted for a while."""


class BadInput(Refused, code="TRI01"):
    """An argument is invalid."""


class NotFound(Refused, code="TRI02"):
    """The named object does not exist."""


class KeyReused(Refused, code="TRI03"):
    """The idempotency key was already used with different parameters."""


class NotAllowed(Refused, code="TRI04"):
    """This login may not do that."""


class NotStartedHere(Refused, code="TRH01"):
    """The database was not started on this server; it may be a copy, so it hands out no work."""


def teach_psycopg() -> None:
    """Make psycopg raise these classes; a second call does nothing."""
    import psycopg
    import psycopg.errors

    class FromPsycopg(psycopg.DatabaseError):
        """Copies the server's message, detail and hint to the attributes of AegisError."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.message: str = self.diag.message_primary or "".join(map(str, args))
            self.detail = self.diag.message_detail
            self.hint = self.diag.message_hint

        def __str__(self) -> str:
            return self.message

    for code, refusal in CODES.items():
        if code not in psycopg.errors._sqlcodes:
            new_class(refusal.__name__, (FromPsycopg, refusal), {"code": code}, _body_of(refusal))


def teach_asyncpg() -> None:
    """Make asyncpg raise these classes (it treats unknown codes as fatal); a second call does nothing."""
    import asyncpg
    from asyncpg.exceptions import _base

    known: dict[str, type] = _base.PostgresMessageMeta._message_map  # type: ignore[attr-defined]
    for code, refusal in CODES.items():
        if code not in known:
            new_class(refusal.__name__, (refusal, asyncpg.PostgresError), {}, _body_of(refusal))


def _body_of(refusal: type[Refused]) -> Any:
    """The class body of a driver's subclass: its name, module and docstring are those of the base class."""
    body = {
        "__module__": refusal.__module__,
        "__qualname__": refusal.__qualname__,
        "__doc__": refusal.__doc__,
        "sqlstate": refusal.sqlstate,
    }
    return lambda namespace: namespace.update(body)


if "psycopg" in sys.modules:
    teach_psycopg()
if "asyncpg" in sys.modules:
    teach_asyncpg()
