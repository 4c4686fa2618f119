"""Have the jobs run that are due by the clock, which are rows, and look whether the other workers beat."""

from __future__ import annotations

import time
from datetime import timedelta

from workers.runtime.worker import Worker

STEADY = 10.0  # seconds of our own heartbeats before we call others silent
WATCH_EVERY = 2.0


class Scheduler(Worker):
    """Calls the jobs of the database."""

    name = "scheduler"
    poll = timedelta(seconds=1)
    _watched_at = 0.0

    async def drain(self) -> int:
        """Run what is due; return how many jobs ran."""
        if self.heart.steady_for >= STEADY and time.monotonic() - self._watched_at >= WATCH_EVERY:
            self._watched_at = time.monotonic()
            await self.db.execute("select api.watch_workers()")
        ran: int = await self.db.fetchval("select api.run_due_jobs()")
        return ran
