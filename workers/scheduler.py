"""Run the jobs that are due (jobs are rows), and check the heartbeats of the other workers."""

from __future__ import annotations

import time
from datetime import timedelta

from workers.runtime.worker import Worker

STEADY = 10.0  # seconds of our own steady heartbeats before we check those of others
WATCH_EVERY = 2.0


class Scheduler(Worker):
    """Calls `api.run_due_jobs` and `api.watch_workers`."""

    name = "scheduler"
    poll = timedelta(seconds=1)
    _watched_at = 0.0

    async def drain(self) -> int:
        """Run the jobs that are due; return how many ran."""
        if self.heart.steady_for >= STEADY and time.monotonic() - self._watched_at >= WATCH_EVERY:
            self._watched_at = time.monotonic()
            await self.db.execute("select api.watch_workers()")
        ran: int = await self.db.fetchval("select api.run_due_jobs()")
        return ran
