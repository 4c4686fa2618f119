"""The bus receives every notification it can, and detects when it cannot."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import asyncpg
import pytest

from cli.database.embedded import Server
from tests.workers.network import network
from workers.runtime.bus import Bus, BusError
from workers.runtime.memory import resident_bytes
from workers.runtime.pace import LATER
from workers.runtime.settings import Settings

TIMEOUT = 20


@pytest.fixture
async def make_bus(pg_server):
    """Start a bus on some database that checks its connection every 50 ms."""
    made = []

    async def make(*channels, url=None, hold=None, check_every=0.05, patience=1.0):
        settings = Settings(database_url=url or pg_server.url("postgres"))
        made.append(Bus(settings, "test", hold=hold, check_every=check_every, patience=patience))
        await made[-1].start(channels)
        return made[-1]

    yield make
    for bus in made:
        await bus.stop()


@pytest.fixture
async def other(pg_server):
    connection = await asyncpg.connect(pg_server.url("postgres"))
    yield connection
    await connection.close()


async def awake(bus, until=lambda: True):
    """Wait until the bus wakes its worker, again and again until this holds."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            await bus.wake.wait()
            bus.wake.clear()
            if until():
                return


async def test_a_notification_wakes_and_its_payload_is_not_kept(make_bus, other):
    bus = await make_bus("new_intent", "quotes")
    await awake(bus)

    await other.execute("select pg_notify('quotes', 'KRX:005930')")
    await awake(bus)

    assert bus.was_heard("quotes")
    assert not bus.was_heard("quotes")
    assert not bus.degraded


async def test_a_start_wakes_for_a_first_sweep(make_bus):
    bus = await make_bus("new_intent")

    assert bus.wake.is_set()


async def test_other_channels_do_not_wake(make_bus, other):
    bus = await make_bus("new_intent")
    await awake(bus)

    await other.execute("notify new_pick")
    await other.execute("notify new_intent, 'mine'")
    await awake(bus)

    assert bus.was_heard("new_intent")
    assert not bus.was_heard("new_pick")


async def test_the_connection_is_one_with_a_name_outside_any_transaction(make_bus, other):
    await make_bus("new_intent")

    rows = await other.fetch("select state from pg_stat_activity where application_name = 'aegis test bus'")

    assert [row["state"] for row in rows] == ["idle"]


async def test_a_pooler_that_never_delivers_is_refused_with_what_to_do(make_bus, pg_server):
    async with network(pg_server.url("postgres")) as (between, url):
        between.drop_notifications = True

        with pytest.raises(BusError, match="a notification to itself did not arrive") as caught:
            await make_bus("new_intent", url=url)

    assert "AEGIS_POOLED_URL" in caught.value.hint


async def test_a_pooler_that_happens_to_deliver_is_refused_too(make_bus, pg_server):
    async with network(pg_server.url("postgres")) as (between, url):
        between.hide_server_process = True

        with pytest.raises(BusError, match="not direct"):
            await make_bus("new_intent", url=url)


async def test_a_refused_bus_leaves_no_connection_behind(make_bus, other, pg_server):
    async with network(pg_server.url("postgres")) as (between, url):
        between.drop_notifications = True
        with pytest.raises(BusError):
            await make_bus("new_intent", url=url)
        await gone(other)


async def test_after_its_session_is_ended_it_listens_again_and_wakes(make_bus, other):
    bus = await make_bus("new_intent")
    bus.wake.clear()

    await end_session(other)
    await awake(bus, lambda: not bus.degraded)
    await other.execute("notify new_intent, 'after'")
    await awake(bus, lambda: bus.was_heard("new_intent"))


async def test_it_listens_before_it_wakes_and_loses_nothing_in_between(make_bus, other):
    heard_during_hold = []

    async def hold(connection):
        if heard_during_hold:
            assert bus.degraded
            bus.wake.clear()
        channels = await connection.fetch("select pg_listening_channels()")
        heard_during_hold.append({channel for (channel,) in channels})
        await connection.execute("notify new_intent, 'during'")

    bus = await make_bus("new_intent", "order_work", hold=hold)
    bus.wake.clear()
    bus.was_heard("new_intent")
    await end_session(other)
    await awake(bus, lambda: not bus.degraded and bus.was_heard("new_intent"))

    assert heard_during_hold == [{"new_intent", "order_work"}] * 2


async def test_what_the_session_held_is_taken_again(make_bus, other):
    async def hold(connection):
        held.append(await connection.fetchval("select pg_try_advisory_lock(42)"))

    held = []
    bus = await make_bus("new_intent", hold=hold)
    await end_session(other)
    await awake(bus, lambda: len(held) > 1 and not bus.degraded)

    assert held == [True, True]
    assert not await other.fetchval("select pg_try_advisory_lock(42)")


async def test_while_another_session_holds_it_the_bus_stays_degraded_and_tries_on(make_bus, other, pg_server):
    tried = asyncio.Semaphore(0)

    async def hold(connection):
        taken = await connection.fetchval("select pg_try_advisory_lock(43)")
        tried.release()
        if not taken:
            raise ConnectionError

    bus = await make_bus("new_intent", hold=hold)
    usurper = await asyncpg.connect(pg_server.url("postgres"))
    waiting = asyncio.create_task(usurper.execute("select pg_advisory_lock(43)"))
    async with asyncio.timeout(TIMEOUT):
        while not await other.fetchval("select count(*) from pg_locks where objid = 43 and not granted"):
            pass
        await end_session(other)
        await waiting
        for _ in range(4):
            await tried.acquire()
    assert bus.degraded
    await usurper.close()
    await awake(bus, lambda: not bus.degraded)


async def test_a_connection_that_goes_silent_is_noticed(make_bus, other, pg_server):
    async with network(pg_server.url("postgres")) as (between, url):
        bus = await make_bus("new_intent", url=url, patience=0.5)
        bus.wake.clear()

        between.go_silent()
        await awake(bus, lambda: bus.degraded)
        await awake(bus, lambda: not bus.degraded)
        await other.execute("notify new_intent, 'heard'")
        await awake(bus, lambda: bus.was_heard("new_intent"))


@pytest.fixture
def directory():
    """A directory for a server, which runs under another account if we are root."""
    place = Path(tempfile.mkdtemp(prefix="aegis-test-"))
    place.chmod(0o711)
    yield place / "server"
    shutil.rmtree(place, ignore_errors=True)


async def test_it_outlives_a_restart_of_the_server(make_bus, directory):
    with Server.start(directory, fsync=False, die_with_owner=True) as server:
        url = server.url("postgres")
        bus = await make_bus("new_intent", url=url)
    bus.wake.clear()
    await awake(bus, lambda: bus.degraded)

    with Server.start(directory, fsync=False, die_with_owner=True):
        await awake(bus, lambda: not bus.degraded)
        connection = await asyncpg.connect(url)
        await connection.execute("notify new_intent, 'risen'")
        await awake(bus, lambda: bus.was_heard("new_intent"))
        await connection.close()
        await bus.stop()


async def test_a_storm_of_one_sender_delays_no_other(make_bus, other, pg_server):
    bus = await make_bus("quotes", "new_intent")
    await awake(bus)

    await other.execute("select pg_notify('quotes', n::text) from generate_series(1, 900) as n")
    await other.execute("notify quotes, 'beyond'")
    calm = await asyncpg.connect(pg_server.url("postgres"))
    took = []
    for _ in range(20):
        bus.was_heard("new_intent")
        began = time.monotonic()
        await calm.execute("notify new_intent")
        await awake(bus, lambda: bus.was_heard("new_intent"))
        took.append(time.monotonic() - began)
    await calm.close()

    assert sorted(took)[10] < LATER / 2, "the hints of others wait for nothing"


async def test_a_flood_is_not_even_read_and_afterwards_it_hears_again(make_bus, other, monkeypatch):
    monkeypatch.setattr("workers.runtime.bus.DEAF", 0.5)
    bus = await make_bus("quotes", "new_intent", patience=10)
    before = resident_bytes()

    for _ in range(4):
        await other.execute("select count(pg_notify('quotes', n::text)) from generate_series(1, 50000) as n")
    await awake(bus, lambda: bus.is_deaf)
    await awake(bus, lambda: not bus.is_deaf)
    await other.execute("notify new_intent")
    await awake(bus, lambda: bus.was_heard("new_intent"))

    assert resident_bytes() - before < 10_000_000


async def test_a_stopped_bus_holds_no_connection(make_bus, other):
    bus = await make_bus("new_intent")

    await bus.stop()

    await gone(other)


async def end_session(other):
    """End the session of the bus and wait until it is gone."""
    ended = await other.fetchval(
        """
        with bus as materialized (select pid from pg_stat_activity where application_name = 'aegis test bus')
        select array_agg(pg_terminate_backend(pid, 10000)) from bus
        """
    )
    assert ended == [True]


async def gone(other):
    """Wait until the server has no session of the bus left."""
    async with asyncio.timeout(TIMEOUT):
        query = "select count(*) from pg_stat_activity where application_name = 'aegis test bus'"
        while await other.fetchval(query):
            await other.execute("select pg_stat_clear_snapshot()")


async def test_while_the_queue_has_no_room_it_is_degraded(make_bus, monkeypatch):
    """Nobody sends notifications then, so the worker polls as fast as without a connection."""
    bus = await make_bus("new_intent", check_every=0.02)
    monkeypatch.setattr("workers.runtime.bus.HAS_ROOM", "select false")
    await awake(bus, lambda: bus.degraded)

    monkeypatch.setattr("workers.runtime.bus.HAS_ROOM", "select true")
    await awake(bus, lambda: not bus.degraded)
