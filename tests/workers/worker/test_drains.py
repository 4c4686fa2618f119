"""A worker does all the work there is, and wakes for more by notification, poll and time."""

import asyncio

from tests.workers.sample import Sample
from tests.workers.worker.worker_kit import DONE, TIMEOUT, idle, until, until_true
from workers.runtime.backoff import Backoff


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


async def test_while_notifications_cannot_be_heard_it_says_so_and_polls_faster(db, todo, work):
    worker, _ = work()
    await idle(worker)
    assert worker._poll_seconds() == 0.2

    worker.bus.degraded = True

    assert worker._poll_seconds() == 0.1
    await until(db, "select state from api.workers", "degraded")


def test_pauses_double_up_to_a_limit_and_differ():
    pauses = [Backoff(first=0.1, most=5.0, failures=failures).next() for failures in range(40)]

    assert all(0.05 <= pause <= 5.0 for pause in pauses)
    assert 0.4 <= pauses[3] <= 0.8
    assert min(pauses[10:]) >= 2.5
    assert len(set(pauses)) == 40


async def test_no_payload_makes_it_wait(db, todo, work):
    worker, _ = work(poll=False)
    await idle(worker)
    for payload in ("drain", "go on", "", '{"command": "drain"}', "x" * 7900, "\x01\t\n"):
        db.execute("select pg_notify('command', %s)", [payload])

    todo("a")

    await until(db, DONE, 1)
