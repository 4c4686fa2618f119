"""A worker does all the work there is, wakes for more, survives faults, and signs off when it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.director import Director
from tests.workers.network import network
from tests.workers.sample import LOGIN, TABLE, Sample
from workers.runtime.backoff import Backoff
from workers.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
TIMEOUT = 20
DONE = "select count(*) from api.todo where done_by is not null"


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


async def until(db, query, wanted=True):
    """Wait until a query returns this value."""
    await until_true(lambda: db.execute(query).fetchone()[0] == wanted)


async def until_true(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 (rows and counters set no event)
            await asyncio.sleep(0)


async def idle(worker):
    """Wait until the worker listens and has drained once."""
    await until_true(lambda: worker.drains and not worker.bus.degraded)


def entries(child):
    return [json.loads(line) for line in child.communicate(timeout=TIMEOUT)[1].splitlines()]


async def test_it_does_all_the_work_it_finds(db, todo, work):
    todo("a", "b", "c")

    worker, _ = work(poll=False)

    await until(db, DONE, 3)
    await until_true(lambda: worker.worked == 3)


async def test_with_the_poll_off_a_notification_wakes_it(db, todo, work):
    worker, _ = work(poll=False)
    await idle(worker)

    todo("a")

    await until(db, DONE, 1)


async def test_with_notifications_off_the_poll_finds_the_work(db, todo, work):
    worker, _ = work(notify=False)
    await idle(worker)

    todo("a")

    await until(db, DONE, 1)


async def test_with_both_off_what_is_due_in_the_tables_wakes_it(db, todo, work):
    db.execute(
        "create or replace function api.next_due() returns interval language sql"
        " as $$ select interval '50 ms' $$"
    )
    worker, _ = work(notify=False, poll=False)
    await idle(worker)

    todo("a")

    await until(db, DONE, 1)


async def test_what_arrives_during_a_drain_is_not_slept_over(db, todo, work):
    held, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Sample):
        async def drain(self):
            found = await super().drain()
            if not found and not held.is_set():
                held.set()
                await go_on.wait()
            return found

    worker, _ = work(Slow, poll=False)
    await asyncio.wait_for(held.wait(), TIMEOUT)
    worker.wake.clear()

    todo("a")
    await asyncio.wait_for(worker.wake.wait(), TIMEOUT)
    go_on.set()

    await until(db, DONE, 1)


async def test_a_storm_of_notifications_costs_a_few_drains(db, todo, work):
    held, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Sample):
        channels = ("new_pick", "order_work")

        async def drain(self):
            held.set()
            await go_on.wait()
            return await super().drain()

    worker, _ = work(Slow, poll=False)
    await asyncio.wait_for(held.wait(), TIMEOUT)

    for _ in range(300):
        db.execute("notify new_pick")
    db.execute("notify order_work")
    async with asyncio.timeout(TIMEOUT):
        while not worker.bus.was_heard("order_work"):
            worker.wake.clear()
            await worker.wake.wait()
    go_on.set()
    todo("a")
    await until(db, DONE, 1)

    assert worker.drains <= 5


async def test_it_registers_holds_its_lock_and_reports_how_it_is(db, todo, work):
    worker, _ = work()

    await until(db, "select coalesce(bool_or(is_alive and detail <> '{}'), false) from api.workers")

    row = db.execute("select name, login, pid, state, detail from api.workers").fetchone()
    assert row[:4] == ("router", LOGIN, os.getpid(), "running")
    assert row[4].keys() == {"rss_bytes", "drains", "worked", "errors", "last_error", "trouble"}
    assert worker.id > 0


async def test_asked_to_stop_it_hands_back_and_says_goodbye(db, todo, work):
    worker, task = work()
    await idle(worker)

    worker.request_stop()
    await asyncio.wait_for(task, TIMEOUT)

    assert db.execute("select state, is_alive from api.workers").fetchone() == ("stopped", False)
    assert db.execute("select task from api.todo").fetchall() == [("released",)]
    await until(db, "select count(*) from pg_stat_activity where application_name like 'aegis router%'", 0)


async def test_a_failing_drain_is_reported_counted_and_tried_again(db, todo, work, caplog):
    todo("fail", "a")

    worker, _ = work(poll=False)
    await until(db, DONE, 2)
    await idle(worker)

    assert worker.errors == 1
    assert worker.last_error == "ValueError: the task says so"
    assert "a drain failed: the task says so" in caplog.text
    told = db.execute("select entity_id, data from api.events where entity = 'error'").fetchone()
    assert told[0] == worker.id
    assert told[1]["message"] == "the task says so"


async def test_a_refusal_in_a_drain_is_reported_with_its_code(db, todo, work):
    todo("refuse", "a")

    work(poll=False)
    await until(db, DONE, 2)

    assert db.execute("select change from api.events where entity = 'refusal'").fetchall() == [("TRQ01",)]


async def test_it_outlives_the_end_of_all_its_sessions(db, todo, work):
    worker, _ = work(poll=False)
    await idle(worker)

    db.execute(
        "with sessions as materialized"
        " (select pid from pg_stat_activity where application_name like 'aegis router%')"
        " select pg_terminate_backend(pid, 10000) from sessions"
    )
    todo("a")

    await until(db, DONE, 1)
    await until(db, "select is_alive from api.workers where state <> 'stopped'")


async def test_while_notifications_cannot_be_heard_it_says_so_and_polls_faster(db, todo, work):
    worker, _ = work()
    await idle(worker)
    assert worker._poll_seconds() == 0.2

    worker.bus.degraded = True

    assert worker._poll_seconds() == 0.1
    await until(db, "select state from api.workers", "degraded")


async def test_when_the_database_does_not_know_it_any_more_it_ends(db, todo, work):
    worker, task = work()
    await until(db, "select count(*) from api.workers where detail <> '{}'", 1)

    db.execute("delete from bus.workers")

    with pytest.raises(Exception, match=str(worker.id)):
        await asyncio.wait_for(task, TIMEOUT)


async def test_without_a_database_it_waits_for_one(db, dsn, todo, caplog):
    async with network(dsn(LOGIN)) as (between, url):
        right, between.url = between.url, "postgresql://nobody@127.0.0.1:1/none"
        worker = Sample(Settings(database_url=url))
        task = asyncio.create_task(worker.run())
        todo("a")
        await until_true(lambda: caplog.text.count("cannot reach the database yet") >= 2)

        between.url = right
        await until(db, DONE, 1)
        worker.request_stop()
        await asyncio.wait_for(task, TIMEOUT)


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


def test_pauses_double_up_to_a_limit_and_differ():
    pauses = [Backoff(first=0.1, most=5.0, failures=failures).next() for failures in range(40)]

    assert all(0.05 <= pause <= 5.0 for pause in pauses)
    assert 0.4 <= pauses[3] <= 0.8
    assert min(pauses[10:]) >= 2.5
    assert len(set(pauses)) == 40


MIGRATOR = "select pg_advisory_lock(11428176)"  # the lock that cli/database/migrate.py holds


async def test_it_waits_while_a_migration_holds_its_lock(db, todo, work, pg_server, database):
    worker, _ = work(poll=False)
    await idle(worker)
    with pg_server.connect(database) as migrator:
        migrator.execute(MIGRATOR)
        db.execute("notify command")
        await until_true(lambda: not worker.bus._heard_on and not worker._suspects_migration)
        await until(
            db,
            "select count(*) > 0 from pg_stat_activity where query like '%migration_is_running%'"
            " and application_name = 'aegis router'",
        )
        drains = worker.drains

        todo("a")
        await until_true(lambda: "new_pick" in worker.bus._heard_on)

        assert worker.drains == drains
    await until(db, DONE, 1)


async def test_no_payload_makes_it_wait(db, todo, work):
    worker, _ = work(poll=False)
    await idle(worker)
    for payload in ("drain", "go on", "", '{"command": "drain"}', "x" * 7900, "\x01\t\n"):
        db.execute("select pg_notify('command', %s)", [payload])

    todo("a")

    await until(db, DONE, 1)


async def test_a_migration_that_never_ends_does_not_stop_work(
    db, todo, work, monkeypatch, pg_server, database
):
    monkeypatch.setattr("workers.runtime.worker.MIGRATION", 0.2)
    worker, _ = work(poll=False)
    await idle(worker)
    with pg_server.connect(database) as migrator:
        migrator.execute(MIGRATOR)
        db.execute("notify command")

        todo("a")

        await until(db, DONE, 1)
