"""Have waiting picks answered: the three gates are SQL, this only rings the bell."""

from __future__ import annotations

from datetime import timedelta

from workers.runtime.worker import Worker

BATCH = 20


class Router(Worker):
    """Calls the router of the database."""

    name = "router"
    channels = ("new_pick",)
    poll = timedelta(seconds=1)

    async def drain(self) -> int:
        """Answer waiting picks; return how many."""
        answered: int = await self.db.fetchval("select api.route_picks($1)", BATCH)
        return answered
