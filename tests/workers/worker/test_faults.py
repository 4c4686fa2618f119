"""A worker signs on and off, and survives failing drains and lost sessions."""

import asyncio
import os

import pytest

from tests.workers.network import network
from tests.workers.sample import LOGIN, Sample
from tests.workers.worker.worker_kit import DONE, TIMEOUT, idle, until, until_true
from workers.runtime.settings import Settings


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
    error = db.execute("select entity_id, data from api.events where entity = 'error'").fetchone()
    assert error[0] == worker.id
    assert error[1]["message"] == "the task says so"


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
