"""Carry through what the mode and the clock ask of intents that already exist.

A halt itself needs no worker: it holds the moment it commits.  This one clears up behind it, in
transactions of its own: waiting buys are cancelled, live ones asked to cancel, old ones ended.
"""

from __future__ import annotations

from datetime import timedelta

from workers.runtime.worker import Worker


class Risk(Worker):
    """Calls the sweeps of the database."""

    name = "risk"
    channels = ("system_mode",)
    poll = timedelta(seconds=1)

    async def drain(self) -> int:
        """Enforce the modes and end what is past its time; return how many intents and picks that touched."""
        enforced: int = await self.db.fetchval("select api.enforce_modes()")
        expired: int = await self.db.fetchval("select api.expire_due()")
        return enforced + expired
