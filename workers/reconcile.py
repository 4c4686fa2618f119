"""Ask each broker what it holds, and have the database compare.

The mark is read before the broker is asked: if anything of the account changed meanwhile, the answer
proves nothing and the account stays due.
"""

from __future__ import annotations

import json
from datetime import timedelta

from workers.brokers import Brokers
from workers.runtime.worker import Worker


class Reconcile(Worker):
    """Carries snapshots from brokers to SQL."""

    name = "reconcile"
    poll = timedelta(seconds=1)

    async def start(self) -> None:
        await self.drain()

    async def drain(self) -> int:
        """Compare the accounts that are due; nothing is left to do at once, whatever the answers are."""
        brokers = Brokers(self.db)
        for row in await self.db.fetch("select account, broker, mark from api.accounts_to_reconcile()"):
            snapshot = await brokers.of(row["broker"]).snapshot(row["account"])
            answer = await self.db.fetchval(
                "select api.reconcile($1, $2, $3::jsonb)", row["account"], row["mark"], json.dumps(snapshot)
            )
            if answer == "DIFFERS":
                self.log.error("account %s and its broker disagree", row["account"])
        return 0
