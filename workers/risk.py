"""Evaluate triggers, apply mode changes and expiry times to existing intents, and watch open transactions.

A halt itself needs no worker: it takes effect when it commits.  Afterwards this worker cleans up in separate
transactions: it cancels waiting intents that the mode forbids, requests cancels for their live orders, ends
expired ones, and reports orders and intents that stay in a state too long.  It polls, because a mode change
sends no notification: a halt must not wait for a session that floods the notification queue.

The watcher is a task with its own connection, independent of the drains: a drain may wait for a lock, and the
watcher ends the session that holds the lock too long.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from workers.runtime.backoff import Backoff
from workers.runtime.database import connect_direct, is_away
from workers.runtime.worker import Worker

WATCH_EVERY = 0.25  # seconds; a stop or a fill that waits longer than this is an incident
WATCH = "select api.watch_sessions($1::text::jsonb)"


class Risk(Worker):
    """Evaluates triggers, enforces modes, expires what is due, reports what is overdue, watches sessions."""

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
        """Enforce the modes and end what has expired; return how many intents and picks were affected."""
        await self.db.execute("select api.evaluate_triggers()")
        enforced: int = await self.db.fetchval("select api.enforce_modes()")
        expired: int = await self.db.fetchval("select api.expire_due()")
        await self.db.execute("select api.report_overdue()")
        return enforced + expired

    async def _watch(self) -> None:
        """Check all sessions every WATCH_EVERY seconds; reconnect after any error."""
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
