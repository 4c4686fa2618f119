"""One class for each refusal of the database, whichever driver carried it here.

The classes below belong to no driver.  Each driver gets subclasses of them that are also its own
kind of error, entered in the table where it looks an SQLSTATE up.  That happens at once for a driver
that is already imported; who imports one later calls `teach_psycopg` or `teach_asyncpg`.  So a worker,
which speaks asyncpg only, does not carry 13 MB of psycopg, and `except TradingHalted` reads the same
everywhere.
"""

from __future__ import annotations

import sys
from types import new_class
from typing import Any, ClassVar


class AegisError(Exception):
    """Something Aegis can explain: one fact as the message, and a hint that helps."""

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
    """A business rule said no; nothing was changed."""

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
    """A decision was tried in an isolation level that cannot see a halt."""


class ApprovalNeeded(Refused, code="TRM03"):
    """A person has to approve this first."""


class NotEnoughQuantity(Refused, code="TRQ01"):
    """The position does not hold that much that is not already reserved."""


class QuantityBreached(Refused, code="TRQ02"):
    """The broker holds less than was reserved; the symbol takes no new intents until that is resolved."""


class NotEnoughCash(Refused, code="TRC01"):
    """The account does not hold that much that is not already reserved."""


class CashBreached(Refused, code="TRC02"):
    """The account holds less than was reserved; it takes no new intents until that is resolved."""


class IllegalMove(Refused, code="TRL01"):
    """The lifecycle has no such move."""


class AppendOnly(Refused, code="TRL02"):
    """History can be added to, never changed."""


class LostFence(Refused, code="TRL03"):
    """Another process has taken this order over."""


class ExposureExceeded(Refused, code="TRL04"):
    """The orders of an intent would exceed it."""


class StalePrice(Refused, code="TRP01"):
    """There is no price fresh enough to decide on."""


class PriceOutOfLimits(Refused, code="TRP02"):
    """The price is outside what the venue or our limits allow."""


class MarketClosed(Refused, code="TRS01"):
    """The venue does not trade this now."""


class LimitExceeded(Refused, code="TRX01"):
    """A limit on size, number or concentration says no."""


class CircuitOpen(Refused, code="TRB01"):
    """The broker has failed too often in a row and is left alone for a while."""


class WrongCode(Refused, code="TRA01"):
    """The override code is wrong."""


class CodeLocked(Refused, code="TRA02"):
    """Too many wrong codes; none is accepted for a while."""


class BadInput(Refused, code="TRI01"):
    """An argument makes no sense."""


class NotFound(Refused, code="TRI02"):
    """There is no such thing."""


class KeyReused(Refused, code="TRI03"):
    """The idempotency key was used before with other parameters."""


class NotAllowed(Refused, code="TRI04"):
    """This login may not do that."""


class NotStartedHere(Refused, code="TRH01"):
    """The database was not started on this server: it may be a copy, and hands out no work."""


def teach_psycopg() -> None:
    """Have psycopg raise these classes; a second call does nothing."""
    import psycopg
    import psycopg.errors

    class FromPsycopg(psycopg.DatabaseError):
        """Copies the parts of the server's message to where Aegis keeps them."""

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
    """Have asyncpg raise these classes, which it would else take for fatal; a second call does nothing."""
    import asyncpg
    from asyncpg.exceptions import _base

    known: dict[str, type] = _base.PostgresMessageMeta._message_map  # type: ignore[attr-defined]
    for code, refusal in CODES.items():
        if code not in known:
            new_class(refusal.__name__, (refusal, asyncpg.PostgresError), {}, _body_of(refusal))


def _body_of(refusal: type[Refused]) -> Any:
    """The class body of a driver's variant: it reads as the class it stands for."""
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
