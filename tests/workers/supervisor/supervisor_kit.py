"""Processes for a supervisor, and how to wait for what they leave in the database and in their logs."""

import asyncio
import json
import sys
from pathlib import Path

from tests.workers.sample import LOGIN
from workers.runtime.child import Spec
from workers.supervisor import Supervisor

ROOT = Path(__file__).parents[3]
TIMEOUT = 40
SUPERVISOR = "aegis_w_supervisor"
SAMPLE = Spec("sample", LOGIN, (sys.executable, "-m", "tests.workers.sample"))
ALIVE = "select pid from api.workers where name = 'router' and is_alive"
STRATEGIES = "select array_agg(name order by name) from api.workers where login like 'aegis_s_%' and is_alive"
MOMENTUM = "workers.strategies.momentum:Momentum"


def python(program):
    return Spec("program", LOGIN, (sys.executable, "-c", program))


class Pressed(Supervisor):
    """A supervisor on a machine that is as busy as the test says."""

    cpu_used = memory = 0.0

    def pressure(self):
        return self.cpu_used, self.memory


async def until(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 (rows and processes set no event)
            await asyncio.sleep(0.01)


async def row(db, query, wanted=None):
    """Wait for a row, or for a row with this value; return its first column."""
    found = None

    def is_there():
        nonlocal found
        found = db.execute(query).fetchone()
        return found is not None if wanted is None else found == (wanted,)

    await until(is_there)
    return found[0]


def logged(tmp_path, name="program"):
    file = tmp_path / "logs" / f"{name}.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
