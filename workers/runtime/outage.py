"""An outage as a process remembers it: since when it cannot work with the database, and why.

The database cannot record its own unavailability.  So each process remembers since when its heartbeats or
drains fail and why, writes it to its log, and reports it to the database once both work again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import asyncpg

from workers.runtime.database import is_away

WORTH_TELLING = 2.0  # seconds; a connection that was quickly replaced is no outage

REASONS = {
    "25006": "the database is read-only",
    "53100": "its disk is full",
    "53200": "the server is out of memory",
    "53300": "the server takes no more connections",
    "55P03": "a lock could not be acquired",
    "57014": "a statement took too long",
}


def is_outage(error: BaseException) -> bool:
    """Whether the error means that the database does not work, rather than that our request was wrong."""
    return is_away(error) or getattr(error, "sqlstate", None) in REASONS


def reason_of(error: BaseException) -> str:
    """The error in plain words, followed by the original message."""
    code = getattr(error, "sqlstate", None) or ""
    if isinstance(error, TimeoutError):
        return "the database did not answer in time"
    if code in REASONS:
        return f"{REASONS[code]} ({error})"
    known = isinstance(error, asyncpg.PostgresError)
    return f"{'the database refuses work' if known else 'the database cannot be reached'} ({error})"


@dataclass
class Outage:
    """One outage, from the first failure of any part until no part fails any more."""

    began: float | None = None  # monotonic clock, in seconds
    ended: float = 0.0
    failures: int = 0
    reason: str = ""
    failing: set[str] = field(default_factory=set)

    def failed(self, part: str, error: BaseException, since: float) -> None:
        """Record that a part failed; its attempt began at `since`."""
        if self.began is None or (self.over and self.ended - self.began < WORTH_TELLING):
            self.began, self.failures, self.reason = since, 0, reason_of(error)
        elif getattr(error, "sqlstate", None) in REASONS:  # more informative than a broken connection
            self.reason = reason_of(error)
        self.failures += 1
        self.failing.add(part)

    def worked(self, part: str) -> None:
        """Record that a part works; this may end its failure."""
        if part in self.failing:
            self.failing.discard(part)
            self.ended = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether an outage has ended and is not reported yet."""
        return self.began is not None and not self.failing

    @property
    def seconds(self) -> float:
        """How long the outage has lasted."""
        if self.began is None:
            return 0.0
        return (self.ended if not self.failing else time.monotonic()) - self.began

    @property
    def is_worth_telling(self) -> bool:
        return self.seconds >= WORTH_TELLING

    def forget(self) -> None:
        """Clear the outage after it was reported or was too short to report."""
        self.began, self.failures, self.reason = None, 0, ""
