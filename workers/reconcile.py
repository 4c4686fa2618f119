"""Ask each broker for an account's holdings, and let the database compare them.

The fingerprint is read before the broker is asked.  If the account changed meanwhile, the snapshot proves
nothing and the account stays due.
"""

from __future__ import annotations

import json
from datetime import timedelta

from workers.brokers import Brokers
from workers.runtime.worker import Worker


class Reconcile(Worker):
    """Passes snapshots from brokers to `api.reconcile`."""

    name = "reconcile"
    poll = timedelta(seconds=1)

    async def start(self) -> None:
        await self.drain()

    async def drain(self) -> int:
        """Compare the accounts that are due; return 0, so that those still due wait for the next wake-up."""
        brokers = Brokers(self.db)
        due = await self.db.fetch("select account, broker, fingerprint from api.accounts_to_reconcile()")
        await self.in_turn(self._compare(brokers, **row) for row in due)
        return 0

    async def _compare(self, brokers: Brokers, account: str, broker: str, fingerprint: str) -> int:
        snapshot = await brokers.of(broker).snapshot(account)
        answer = await self.db.fetchval(
            "select api.reconcile($1, $2, $3::jsonb)", account, fingerprint, json.dumps(snapshot)
        )
        if answer in ("DIFFERS", "UNREADABLE"):
            self.log.error("account %s and its broker: %s", account, answer)
        return 1
