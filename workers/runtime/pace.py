"""How soon a notification wakes its worker: at once, unless its sender sends too many.

Any login may notify any channel as often as it likes.  So each sender (a server process, which PostgreSQL
names with every notification) gets a limited number of wake-ups per time window.  Notifications over the
limit cause one delayed wake-up, and a sender over its limit gets only one immediate wake-up in the next
window.  A flood makes a worker check its tables a few times more often; it delays its own sender's
notifications by milliseconds and nobody else's.
"""

from __future__ import annotations

import asyncio
import time

WINDOW = 0.1  # seconds
SHARE = 40  # wake-ups per sender and window
ALL = 100  # wake-ups of all senders in a window
LATER = 0.05  # seconds until notifications over the limit wake the worker
FLOOD = 1000  # with more notifications than this in a window, even reading them costs too much


class Pace:
    """Sets `wake` for each notification, with a limit for each sender."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._counts: dict[int, int] = {}  # wake-ups per sender in this window; at most ALL senders
        self._beyond: set[int] = set()  # senders that were over their limit in the previous window
        self._share = SHARE
        self._heard = 0
        self._window_ends = 0.0
        self._later: asyncio.TimerHandle | None = None

    @property
    def is_flooded(self) -> bool:
        """Whether reading all notifications would take too much processor time from the real work."""
        return self._heard > FLOOD

    def heard(self, sender: int) -> None:
        """Handle a notification from this sender."""
        now = time.monotonic()
        if now >= self._window_ends:
            self._next_window(now)
        self._heard += 1
        count = self._counts.get(sender, 0)
        if count < (1 if sender in self._beyond else self._share) and (count or len(self._counts) < ALL):
            self._counts[sender] = count + 1
            self._wake.set()
            return
        if count == self._share:
            self._counts[sender] = count + 1  # marks the sender as over its limit
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(LATER, self._wake_late)

    def stop(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _next_window(self, now: float) -> None:
        is_next = now < self._window_ends + WINDOW
        self._beyond = {
            sender
            for sender, count in self._counts.items()
            if is_next and (count > self._share or sender in self._beyond)
        }
        self._share = min(SHARE, max(1, ALL // max(1, len(self._counts))))
        self._counts.clear()
        self._heard = 0
        self._window_ends = now + WINDOW

    def _wake_late(self) -> None:
        self._later = None
        self._wake.set()
