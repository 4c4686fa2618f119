"""Carry through what the mode and the clock ask of intents that already exist, and watch open transactions.

A halt itself needs no worker: it holds the moment it commits.  This one clears up behind it, in
transactions of its own: waiting buys are cancelled, live ones asked to cancel, old ones ended; what stays
in a state longer than it may is reported.  It polls, because a change of mode notifies nobody: a halt must
not wait for whoever floods the queue of notifications.

The watcher is a task with a connection of its own, beside the drains: they may wait for a lock, and it is
what ends whoever holds that.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from workers.runtime.backoff import Backoff
from workers.runtime.database import connect_direct, is_away
from workers.runtime.worker import Worker

WATCH_EVERY = 0.25  # seconds: a stop or a fill that waits longer than this is an incident
WATCH = "select api.watch_sessions($1::text::jsonb)"


class Risk(Worker):
    """Calls the sweeps of the database, and its watcher."""

    name = "risk"
    poll = timedelta(milliseconds=200)
    watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.watcher = asyncio.create_task(self._watch(), name="watch")

    async def stop(self) -> None:
        if self.watcher is not None:
            self.watcher.cancel()
            await asyncio.gather(self.watcher, return_exceptions=True)

    async def drain(self) -> int:
        """Enforce the modes and end what is past its time; return how many intents and picks that touched."""
        enforced: int = await self.db.fetchval("select api.enforce_modes()")
        expired: int = await self.db.fetchval("select api.expire_due()")
        await self.db.execute("select api.report_overdue()")
        return enforced + expired

    async def _watch(self) -> None:
        """Look at all sessions, again and again, whatever happens to the connection."""
        backoff, unrecorded = Backoff(), "[]"
        while True:
            connection: Any = None
            try:
                connection = await connect_direct(self.settings, "risk watch")
                while True:
                    unrecorded = await connection.fetchval(WATCH, unrecorded)
                    backoff.reset()
                    await asyncio.sleep(WATCH_EVERY)
            except Exception as error:
                pause = backoff.next()
                self.log.warning(
                    "the watcher of sessions failed: %s", error, extra={"pause": round(pause, 3)}
                )
                if not is_away(error) and backoff.failures.bit_count() == 1:
                    await self.tell(error, task="watch")
                await asyncio.sleep(pause)
            finally:
                if connection is not None:
                    with contextlib.suppress(Exception):
                        connection.terminate()
