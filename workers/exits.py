"""Have stops and targets compared with the newest prices, at every quote.

All armed positions are compared each time, not only those of the symbols a notification names: the
comparison is one set-based query, and a hint that was lost must not cost a stop.
"""

from __future__ import annotations

from datetime import timedelta

from workers.runtime.worker import Worker


class Exits(Worker):
    """Calls the exits of the database."""

    name = "exits"
    channels = ("quotes",)
    poll = timedelta(milliseconds=200)  # the shortest poll interval of any session phase

    async def drain(self) -> int:
        """Fire what is due; return how many exits."""
        fired: int = await self.db.fetchval("select api.fire_exits()")
        return fired
