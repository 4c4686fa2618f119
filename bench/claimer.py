"""The process that a latency benchmark wakes up: it hears a notification, claims, and prints the time.

Its argument is the job: `claim` claims orders on each notification of new_intent and prints when it had them;
`hear` only listens on the channel bench and prints when it heard.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import asyncpg

from workers.runtime.database import direct_url
from workers.runtime.settings import load_settings


async def main(job: str) -> None:
    connection = await asyncpg.connect(direct_url(load_settings()))
    worker = await asyncpg.connect(direct_url(load_settings()))
    number = await worker.fetchval("select api.register_worker('execution', $1, 'bench')", os.getpid())
    heard = asyncio.Event()
    heard_at = 0

    def hear(*_: object) -> None:
        nonlocal heard_at
        heard_at = time.monotonic_ns()
        heard.set()

    await connection.add_listener("bench" if job == "hear" else "new_intent", hear)
    print("ready", flush=True)
    while True:
        await heard.wait()
        heard.clear()
        if job == "hear":
            print(heard_at, flush=True)
            continue
        orders = await worker.fetch("select order_id, fence from api.claim_intents($1, 50)", number)
        claimed_at = time.monotonic_ns()
        for order_id, fence in orders:
            await worker.execute(
                "select api.order_rejected($1, $2, 'BENCH', 'measured', false)", order_id, fence
            )
            print(claimed_at, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
