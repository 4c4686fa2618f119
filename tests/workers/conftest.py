"""Fixtures for tests of single workers."""

import asyncpg
import pytest


@pytest.fixture
async def connect(dsn):
    """Connect as any login: `await connect("aegis_w_router")`; closed at the end of the test."""
    opened = []

    async def connect(role):
        opened.append(await asyncpg.connect(dsn(role)))
        return opened[-1]

    yield connect
    for connection in opened:
        await connection.close()
