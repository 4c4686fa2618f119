"""Sample workers in this process and in others, and the tasks that they do."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.workers.director import Director
from tests.workers.sample import LOGIN, TABLE, Sample
from tests.workers.worker.worker_kit import ROOT
from workers.runtime.settings import Settings


@pytest.fixture
def todo(db):
    """Create the sample worker's table of tasks; return a function that adds tasks."""
    db.execute(TABLE)

    def add(*tasks):
        db.execute("insert into api.todo (task) select unnest(%s::text[])", [list(tasks)])

    return add


@pytest.fixture
async def work(dsn):
    """Return a function that starts a sample worker in this process."""
    running = []

    def start(cls=Sample, **settings):
        worker = cls(Settings(database_url=dsn(LOGIN), **settings))
        running.append((worker, asyncio.create_task(worker.run())))
        return running[-1]

    yield start
    for worker, task in running:
        worker.request_stop()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def director():
    with Director() as director:
        yield director


@pytest.fixture
def process(dsn, director, tmp_path):
    """Return a function that starts a sample worker in a separate process."""
    running = []

    def start(**env):
        ours = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "AEGIS_DATABASE_URL": dsn(LOGIN),
            "AEGIS_DATA_DIR": str(tmp_path),
            "AEGIS_CHECKPOINTS": str(director.socket),
        }
        command = [sys.executable, "-m", "tests.workers.sample"]
        running.append(subprocess.Popen(command, env=ours | env, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for child in running:
        child.kill()
        child.communicate()
