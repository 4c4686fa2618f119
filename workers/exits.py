"""Compare stops and targets with the newest prices: the poll behind execution, which fires them as it claims.

Each run compares all armed positions, not only those of the symbols a notification names: the comparison is
one set-based query, and a lost notification must not delay a stop.
"""

from __future__ import annotations

from datetime import timedelta

from workers.runtime.worker import Worker


class Exits(Worker):
    """Calls `api.fire_exits`."""

    name = "exits"
    poll = timedelta(milliseconds=200)  # the shortest poll interval of any session phase
    is_timed = False

    async def drain(self) -> int:
        """Fire all exits that are due; return how many were fired."""
        fired: int = await self.db.fetchval("select api.fire_exits()")
        return fired
