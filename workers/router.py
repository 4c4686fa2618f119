"""Call the router: the three gates for waiting picks are SQL, this worker only triggers them."""

from __future__ import annotations

from datetime import timedelta

from workers.runtime.worker import Worker

BATCH = 20


class Router(Worker):
    """Calls `api.route_picks`."""

    name = "router"
    channels = ("new_pick",)
    poll = timedelta(seconds=1)

    async def drain(self) -> int:
        """Answer up to BATCH waiting picks; return how many were answered."""
        answered: int = await self.db.fetchval("select api.route_picks($1)", BATCH)
        return answered
