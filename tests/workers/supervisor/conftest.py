"""A supervisor of any processes, and strategies for it to run."""

import asyncio

import pytest

from tests.workers.supervisor.supervisor_kit import MOMENTUM, SUPERVISOR, Pressed
from workers.runtime.settings import Settings


@pytest.fixture(autouse=True)
def own_account(monkeypatch):
    """Run strategies under our own account, except in the tests about accounts."""
    monkeypatch.setattr("workers.supervisor.strategy_account", lambda _: None)


@pytest.fixture
async def supervise(db, dsn, tmp_path):
    """Return a function that starts a supervisor of these processes."""
    running = []

    def start(*core, env_of=None):
        settings = Settings(database_url=dsn(SUPERVISOR), data_dir=tmp_path)
        env_of = env_of or (lambda login: {"AEGIS_DATABASE_URL": dsn(login)})
        supervisor = Pressed(settings, env_of=env_of, core=core)
        running.append((supervisor, asyncio.create_task(supervisor.run())))
        return supervisor

    yield start
    for supervisor, task in running:
        supervisor.request_stop()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def add_strategy(db, login):
    desk = login("aegis_desk")
    desk.execute("select add_instrument('SIM', 'A1', 'A', 'KRW', 'KRX')")
    desk.execute("select add_account('demo', 'paper', 'SIM', 'KRW', p_deposit => 100000000)")

    def add(name, where=MOMENTUM):
        desk.execute("select add_strategy(%s, %s, 'demo', '{A1}', 10000000, 1000000)", [name, where])
        desk.execute("select start_strategy(%s)", [name])

    return add
