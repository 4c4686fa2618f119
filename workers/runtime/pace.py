"""How soon a notification wakes its worker: at once, unless whoever sends them sends too many.

Anybody may notify any channel, as often as they like.  So each sender (a server process, which PostgreSQL
names with every notification) has a share of the wake-ups.  What is beyond wakes once, a little later, and
whoever was beyond has nearly no share in the next window.  A flood makes a worker look a few times more
often; it delays the hints of nobody else, and those of its own sender by milliseconds.
"""

from __future__ import annotations

import asyncio
import time

WINDOW = 0.1  # seconds
SHARE = 40  # wake-ups of one sender in a window: price_sync sends one each 3 ms at most
ALL = 100  # wake-ups of all senders in a window
LATER = 0.05  # seconds until what is beyond a share wakes
FLOOD = 1000  # notifications in a window that are too many even to read


class Pace:
    """Sets `wake`, no more often than there is reason to."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._counts: dict[int, int] = {}  # of this window; no more senders than wake-ups
        self._beyond: set[int] = set()  # senders that were beyond their share in the window before
        self._share = SHARE
        self._heard = 0
        self._window_ends = 0.0
        self._later: asyncio.TimerHandle | None = None

    @property
    def is_flooded(self) -> bool:
        """Whether reading them all would take the processor from what they are about."""
        return self._heard > FLOOD

    def heard(self, sender: int) -> None:
        """A notification of this sender arrived."""
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
            self._counts[sender] = count + 1  # it is beyond
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
