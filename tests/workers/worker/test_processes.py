"""A worker as a process: signals, a lost parent, wrong settings, and what it imports."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.workers.sample import LOGIN
from tests.workers.worker.worker_kit import ROOT, TIMEOUT, until


def entries(child):
    return [json.loads(line) for line in child.communicate(timeout=TIMEOUT)[1].splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_on_a_signal_a_process_finishes_its_task_and_takes_no_other(
    db, todo, process, director, number
):
    director.hold("sample.claimed")
    todo("a", "b")
    child = process()
    held = director.reached("sample.claimed")

    child.send_signal(number)
    said = json.loads(child.stderr.readline())
    while said["message"] != "asked to stop":
        said = json.loads(child.stderr.readline())
    held.go()

    assert await asyncio.to_thread(child.wait, TIMEOUT) == 0
    assert db.execute("select task, done_by is not null from api.todo order by id").fetchall() == [
        ("a", True),
        ("b", False),
        ("released", True),
    ]
    assert db.execute("select state from api.workers").fetchone() == ("stopped",)


def test_a_second_signal_ends_a_process_at_once(todo, process, director):
    director.hold("sample.claimed")
    todo("a")
    child = process()
    director.reached("sample.claimed")

    child.terminate()
    while json.loads(child.stderr.readline())["message"] != "asked to stop":
        pass
    child.terminate()

    assert child.wait(TIMEOUT) == 1


async def test_a_killed_process_loses_its_lock_at_once(db, todo, process, director):
    director.hold("sample.claimed")
    todo("a")
    process()
    held = director.reached("sample.claimed")
    assert db.execute("select is_alive from api.workers").fetchone() == (True,)

    os.kill(held.pid, signal.SIGKILL)

    await until(db, "select is_alive from api.workers", False)
    assert db.execute("select state from api.workers").fetchone() == ("running",)


@pytest.fixture
def parent(dsn, tmp_path):
    """A process that has started a sample worker as its child, and waits."""
    program = (
        "import os, subprocess, sys; os.environ['AEGIS_PARENT_PID'] = str(os.getpid());"
        "subprocess.Popen([sys.executable, '-m', 'tests.workers.sample'], stderr=subprocess.DEVNULL); input()"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AEGIS_DATABASE_URL": dsn(LOGIN)}
    env["AEGIS_DATA_DIR"] = str(tmp_path)
    with subprocess.Popen([sys.executable, "-c", program], env=env, stdin=subprocess.PIPE) as parent:
        yield parent
        parent.kill()


async def test_a_process_whose_parent_is_gone_stops(db, todo, parent):
    await until(db, "select coalesce(bool_or(is_alive), false) from api.workers")

    parent.kill()

    await until(db, "select state from api.workers", "stopped")


def test_a_wrong_setting_ends_a_process_with_what_would_be_right(process):
    child = process(AEGIS_LOG_LEVL="DEBUG")

    (said,) = entries(child)
    assert child.returncode == 1
    assert "did you mean AEGIS_LOG_LEVEL?" in said["message"]


def test_a_wrong_password_ends_a_process_instead_of_being_tried_for_ever(process, dsn):
    child = process(AEGIS_DATABASE_URL=dsn(LOGIN).replace(LOGIN + ":", LOGIN + ":not"))

    said = entries(child)
    assert child.returncode == 1
    assert "password authentication failed" in said[-1]["error"]["message"]


def test_an_unknown_worker_is_told_the_nearest_name():
    command = [sys.executable, "-m", "workers", "excution"]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert json.loads(ended.stderr)["hint"] == "Did you mean execution?"


async def test_a_process_is_small_and_carries_no_other_driver(db, todo, process):
    process(AEGIS_CHECKPOINTS="")

    await until(db, "select count(*) from api.workers where detail <> '{}'", 1)

    assert db.execute("select (detail ->> 'rss_bytes')::bigint from api.workers").fetchone()[0] < 64_000_000


def test_a_core_worker_imports_nothing_that_is_heavy():
    program = (
        "import sys, workers.__main__; from workers.runtime.registry import CORE, worker_class;"
        "[worker_class(name) for name in (*CORE, 'strategy', 'supervisor')];"
        "print(*{'psycopg', 'click', 'rich', 'pandas', 'numpy', 'ccxt'} & set(sys.modules))"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert said.stdout.strip() == ""
