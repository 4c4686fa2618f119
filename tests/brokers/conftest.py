"""Fixtures for tests of broker adapters: real workers and an account that may trade."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.brokers.floor import Connect, Floor, Hire
from tests.conftest import Connection, Dsn, Login
from workers.runtime.database import open_pool
from workers.runtime.settings import Settings
from workers.runtime.worker import Worker

pytest.register_assert_rewrite("tests.brokers.contract", "tests.brokers.bench")


@pytest.fixture
async def connect(dsn: Dsn) -> AsyncIterator[Connect]:
    """Open a worker's pool, as any login: `await connect("aegis_w_execution")`."""
    opened = []

    async def connect(role: str) -> Any:
        opened.append(await open_pool(Settings(database_url=dsn(role))))
        return opened[-1]

    yield connect
    for pool in opened:
        await pool.close()


@pytest.fixture
def hire(connect: Connect) -> Hire:
    """Make a worker, registered under its own login and started."""

    async def hire(kind: type[Worker]) -> Any:
        db = await connect(f"aegis_w_{kind.name}")
        number = await db.fetchval("select api.register_worker($1, 0, 'here')", kind.name)
        worker = kind(db=db, worker_id=number)
        await worker.start()
        return worker

    return hire


@pytest.fixture
def floor(db: Connection, login: Login, hire: Hire) -> Floor:
    return Floor(db, login, hire)
