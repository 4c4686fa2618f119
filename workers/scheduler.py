"""Have the jobs run that are due by the clock: which and when are rows."""

from __future__ import annotations

from datetime import timedelta

from workers.runtime.worker import Worker


class Scheduler(Worker):
    """Calls the jobs of the database."""

    name = "scheduler"
    poll = timedelta(seconds=1)

    async def drain(self) -> int:
        """Run what is due; return how many jobs ran."""
        ran: int = await self.db.fetchval("select api.run_due_jobs()")
        return ran
