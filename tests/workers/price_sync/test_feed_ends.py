"""How a feed begins and ends: recordings, failures, a graceful stop and a new reader."""

import asyncio

import pytest

from tests.workers.price_sync.price_sync_kit import LOGIN, again, counted, quote, running, until
from workers.feeds import FeedError
from workers.price_sync import PriceSync
from workers.runtime.settings import Settings


async def test_a_recording_ends_and_says_so_with_its_counts(dsn, universe, recording):
    async with running(dsn, f"replay:{recording(2_500, 'rubbish')}", "max") as worker:
        await until(lambda: counted(universe) and counted(universe)[3] == "ENDED")
        applied, superseded, quarantined, _, detail = counted(universe)
        await again(worker)

    assert applied + superseded + quarantined == 2_500
    assert detail.startswith("100%, 2500 quotes, 0 trades, 1 malformed, 2500 with a price off its tick; ")
    assert counted(universe)[3] == "ENDED"


async def test_a_recording_that_breaks_off_is_reported_and_the_worker_lives(dsn, universe, recording):
    path = recording(20_000)
    path.write_bytes(path.read_bytes()[:-100])
    async with running(dsn, f"replay:{path}", "max") as worker:
        await until(lambda: counted(universe) and counted(universe)[3] == "DISCONNECTED")
        await again(worker)

        assert "breaks off after line" in counted(universe)[4]
        assert counted(universe)[3] == "DISCONNECTED"
        error = universe.execute(
            "select data ->> 'message' from bus.events where entity = 'error'"
        ).fetchone()
        assert "breaks off after line" in error[0]


async def test_a_bug_in_a_feed_ends_the_process(dsn, universe):
    worker = PriceSync(Settings(database_url=dsn(LOGIN)), "sim:1")

    async def batches():
        yield [quote()]
        raise ZeroDivisionError("a bug")

    worker.feed.batches = batches
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(worker.run(), 20)

    assert counted(universe)[0] == 1
    assert counted(universe)[3:] == ("DISCONNECTED", "a bug")


async def test_a_graceful_stop_says_that_the_feed_is_gone(dsn, universe):
    async with running(dsn, "sim:1") as worker:
        await until(lambda: worker.counts.total)

    assert counted(universe)[3:] == ("DISCONNECTED", "stopped")


def test_a_wrong_feed_is_refused_before_anything_is_opened():
    with pytest.raises(FeedError, match="unknown feed"):
        PriceSync(Settings(), "nonsense")


async def test_a_reader_that_replaces_a_dead_one_goes_on_where_that_stopped(dsn, universe, recording):
    path = f"replay:{recording(3000, every='0.01')}"
    async with running(dsn, path, "1") as first:
        await until(lambda: first.counts.total > 0)
        first._reader.cancel()

    async with running(dsn, path, "max") as second:
        await until(lambda: counted(universe)[3] == "ENDED")

    assert second.counts.total > 0
    assert sum(counted(universe)[:3]) == 3000


async def test_a_new_run_of_the_system_plays_a_recording_again(dsn, universe, recording):
    path = f"replay:{recording(500)}"
    async with running(dsn, path, "max"):
        await until(lambda: counted(universe)[3] == "ENDED")
    universe.execute("update bus.instance set run_number = run_number + 1")

    async with running(dsn, path, "max"):
        await until(lambda: sum(counted(universe)[:3]) == 1000)


async def test_a_malformed_line_is_reported_with_its_number(dsn, universe, recording, caplog):
    async with running(dsn, f"replay:{recording(5, tail='nonsense')}", "max"):
        await until(lambda: counted(universe)[3] == "ENDED")

    assert "line 7 has 1 column, not 8" in caplog.text
