"""The heartbeat of a process: that it is alive, its state and counters, and outages once they are over.

A heartbeat uses the pool, or the bus connection when every pool connection is busy with a statement.  A
worker with a slow drain still sends heartbeats; one whose event loop is blocked does not, and counts as hung
after three missed heartbeats.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workers.runtime.database import is_away
from workers.runtime.errors import NotAllowed
from workers.runtime.outage import Outage, is_outage

if TYPE_CHECKING:
    from workers.runtime.worker import Worker

HEARTBEAT = 2.0
POOL_PATIENCE = 1.5  # seconds to wait for the pool before using the bus connection
STEADY_GAP = 5.0  # after a longer gap in our own heartbeats, the silence of others proves nothing

BEAT = "select api.heartbeat($1, $2, $3::jsonb)"


class Heart:
    """Sends the heartbeats of a worker and remembers when they failed."""

    def __init__(self, worker: Worker) -> None:
        self.outage = Outage()
        self._worker = worker
        self._beaten_at = self._steady_since = -STEADY_GAP

    @property
    def steady_for(self) -> float:
        """For how many seconds our own heartbeats have been written without a gap."""
        now = time.monotonic()
        return 0.0 if now - self._beaten_at > STEADY_GAP else now - self._steady_since

    async def beat(self) -> None:
        """Send heartbeats until the database answers that it does not know this worker."""
        while True:
            began = time.monotonic()
            try:
                await self._beat_once()
            except NotAllowed as error:  # the database was replaced by another: restart and register again
                self._worker.end_with(error)
                return
            except Exception as error:
                if is_outage(error):
                    self.outage.failed("heartbeat", error, began)
                    await self._worker.renew_connections()
                level = logging.DEBUG if is_away(error) else logging.ERROR
                self._worker.log.log(level, "no heartbeat: %s", error)
            else:
                await self._has_beaten(began)
            await asyncio.sleep(max(0.0, began + HEARTBEAT - time.monotonic()))

    async def _beat_once(self) -> None:
        worker = self._worker
        polls = worker.bus.degraded or worker.bus.is_deaf
        state = "draining" if worker.stopping else "degraded" if polls else "running"
        said = worker.id, state, json.dumps(worker.vitals())
        try:
            async with asyncio.timeout(POOL_PATIENCE):
                await worker.db.execute(BEAT, *said)
        except TimeoutError:
            await worker.bus.fetchval(BEAT, *said)

    async def _has_beaten(self, began: float) -> None:
        if began - self._beaten_at > STEADY_GAP:
            self._steady_since = began
        self._beaten_at = time.monotonic()
        self.outage.worked("heartbeat")
        if self.outage.over:
            await self._report()

    async def _report(self) -> None:
        """Record an outage that is over; a failed attempt is repeated with the next heartbeat."""
        outage, worker = self.outage, self._worker
        if outage.is_worth_telling:
            worker.log.error("could not work for %.1f s: %s", outage.seconds, outage.reason)
            try:
                await worker.report_outage()
            except Exception as error:
                worker.log.warning("could not record the outage in the database: %s", error)
                return
        outage.forget()

    def report(self) -> tuple[timedelta, timedelta, int, str]:
        """How long ago the outage began, how long it lasted, how many attempts failed, and why."""
        outage = self.outage
        ago = time.monotonic() - (outage.began or 0.0)
        return (
            timedelta(seconds=ago),
            timedelta(seconds=outage.seconds),
            outage.failures,
            outage.reason[:2000],
        )

    def trouble(self) -> dict[str, Any] | None:
        """The outage that is going on now, or None."""
        outage = self.outage
        if not outage.failing or not outage.is_worth_telling:
            return None
        return {
            "seconds": round(outage.seconds, 1),
            "failures": outage.failures,
            "reason": outage.reason[:500],
        }
