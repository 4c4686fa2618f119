"""Recordings: every row is an event or is told; times, sizes and prices come through as they were written."""

import gzip
import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import pytest

from workers.feeds import FeedError, Quote, Trade, make_feed, pacing
from workers.feeds.recording import HEADER, Recording, RecordingFeed

QUOTE = "2024-08-08T23:54:15.088165Z,ETHUSDT,2681.62,1.165,2681.63,73.077,,"
TRADE = "2024-08-08T23:54:16.088176Z,BTCUSDT,,,,,61800.30,0.006"
REAL = Path(__file__).parents[3] / "shared" / "data" / "binance_usdm_20240808.csv.gz"


@pytest.fixture
def record(tmp_path):
    def write(*rows, header=HEADER, end="\n", name="venue_day.csv.gz"):
        path = tmp_path / name
        data = end.join([header, *rows, ""]).encode("utf-8", "surrogateescape")
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def test_a_quote_and_a_trade_come_through_as_they_were_written(record):
    recording = Recording(record(QUOTE, TRADE))

    assert list(recording.events()) == [
        Quote(
            "ETHUSDT", datetime(2024, 8, 8, 23, 54, 15, 88165, UTC), "2681.62", "1.165", "2681.63", "73.077"
        ),
        Trade("BTCUSDT", datetime(2024, 8, 8, 23, 54, 16, 88176, UTC), "61800.30", "0.006"),
    ]
    assert (recording.quotes, recording.trades, recording.malformed, recording.done) == (1, 1, 0, 1.0)


@pytest.mark.parametrize("name", ["day.csv", "day.csv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plain_and_gzipped_files_with_either_line_end_are_read(record, name, end):
    assert len(list(Recording(record(QUOTE, TRADE, name=name, end=end)).events())) == 2


@pytest.mark.parametrize(
    "row",
    [
        "",
        "rubbish",
        QUOTE + ",",
        QUOTE[:-1],
        QUOTE.replace("2681.62", "NaN"),
        QUOTE.replace("2681.62", "Infinity"),
        QUOTE.replace("2681.62", "2.6e3"),
        QUOTE.replace("2681.62", "0x10"),
        QUOTE.replace("2681.62", ""),
        QUOTE.replace("2681.62", " 2681.62"),
        QUOTE.replace("2681.62", "2681,62"),
        QUOTE.replace("2681.62", "٢"),
        QUOTE.replace("2681.62", "1" * 40),
        QUOTE.replace("ETHUSDT", ""),
        QUOTE.replace("ETHUSDT", '"ETHUSDT"'),
        QUOTE.replace("ETHUSDT", "E" * 65),
        QUOTE.replace("ETHUSDT", "ETH\0USDT"),
        QUOTE.replace("2024-08-08", "2024-02-31"),
        QUOTE.replace("165Z", "165"),
        QUOTE.replace("165Z", "165+00:00"),
        QUOTE.replace(",,", ",61800.30,0.006"),
        TRADE.replace(",0.006", ","),
        TRADE.replace(",,,,,", ",1.5,,,,"),
        QUOTE + TRADE,
        "\udcff" + QUOTE,
    ],
)
def test_a_malformed_row_is_told_with_its_line_and_the_others_are_kept(record, row):
    told = []
    recording = Recording(record(QUOTE, row, TRADE), told.append)

    assert len(list(recording.events())) == 2
    assert [malformed.line for malformed in told] == [3]
    assert recording.malformed == 1


def test_each_of_many_malformed_rows_is_told(record):
    told = []
    recording = Recording(record(*[QUOTE, "bad"] * 500), told.append)

    assert len(list(recording.events())) == 500
    assert [malformed.line for malformed in told] == list(range(3, 1002, 2))
    assert str(told[0]) == "line 3 is neither a quote nor a trade: 'bad'"


def test_a_zero_or_negative_price_is_the_databases_to_judge(record):
    events = list(Recording(record(QUOTE.replace("2681.62", "0"), QUOTE.replace("2681.62", "-1"))).events())

    assert [event.bid for event in events] == ["0", "-1"]


def test_counters_start_over_with_each_pass(record):
    recording = Recording(record(QUOTE, TRADE, "bad"))
    for _ in range(2):
        list(recording.events())

    assert (recording.quotes, recording.trades, recording.malformed) == (1, 1, 1)


def test_totals_are_known_before_and_during_a_pass(record):
    recording = Recording(record(QUOTE, TRADE, "bad", QUOTE))
    next(recording.events())

    totals = recording.totals
    assert (totals.quotes, totals.trades, totals.malformed, totals.events) == (2, 1, 1, 3)
    assert totals.symbols == ["BTCUSDT", "ETHUSDT"]
    assert totals.first == totals.last == datetime(2024, 8, 8, 23, 54, 15, 88165, UTC)
    assert recording.quotes == 1


def test_a_file_that_is_no_recording_is_refused(record):
    with pytest.raises(FeedError, match="is not a recording: its first line is not 'ts,symbol"):
        list(Recording(record(QUOTE, header="time,price")).events())


def test_a_missing_file_is_refused_at_once(tmp_path):
    with pytest.raises(FeedError, match="No such file"):
        make_feed(f"replay:{tmp_path}/nothing.csv.gz")


def test_a_file_that_breaks_off_says_where_after_giving_what_it_has(record):
    path = record(*[QUOTE] * 20_000)
    path.write_bytes(path.read_bytes()[:-40])
    taken = []

    with pytest.raises(FeedError, match=r"breaks off after line \d+"):
        taken.extend(Recording(path).events())


def test_the_memory_is_flat_however_long_the_file(record):
    path = record(*[QUOTE, TRADE] * 100_000)
    events = Recording(path).events()
    for _ in islice(events, 1_000):
        pass
    tracemalloc.start()

    for _ in events:
        pass

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # the file is 13 MB of text


def test_done_grows_to_one(record):
    rows = [QUOTE.replace("73.077", str(n * 2_654_435_761 % 2**32)) for n in range(40_000)]
    recording = Recording(record(*rows))
    seen = [recording.done for _ in recording.events()]

    assert seen == sorted(seen)
    assert seen[0] < 1
    assert recording.done == 1.0


@pytest.mark.parametrize(("speed", "apart"), [("1", 1.000011), ("10", 0.1000011)])
async def test_live_times_are_shifted_to_now_and_paced(record, monkeypatch, speed, apart):
    slept = []
    now = datetime(2026, 1, 1, tzinfo=UTC)

    async def sleep(seconds):
        nonlocal now
        slept.append(seconds)
        now += timedelta(seconds=seconds)

    monkeypatch.setattr(pacing.asyncio, "sleep", sleep)
    monkeypatch.setattr(pacing, "utc_now", lambda: now)
    monkeypatch.setattr("workers.feeds.recording.utc_now", lambda: now)
    start = now
    batches = [batch async for batch in make_feed(f"replay:{record(QUOTE, TRADE)}", speed).batches()]

    assert [len(batch) for batch in batches] == [1, 1]
    assert batches[0][0].ts == start
    assert (batches[1][0].ts - start).total_seconds() == pytest.approx(apart, abs=2e-6)
    assert sum(slept) == pytest.approx(apart, abs=0.005)


async def test_at_max_speed_nothing_is_lost_and_order_is_kept(record):
    feed = make_feed(f"replay:{record(*[QUOTE, TRADE] * 3_000)}", "max")
    batches = [batch async for batch in feed.batches()]

    events = [event for batch in batches for event in batch]
    assert [type(event) for event in events] == [Quote, Trade] * 3_000
    assert max(len(batch) for batch in batches) == 1_000
    assert all(a.ts <= b.ts for a, b in pairwise(events))
    assert feed.progress() == "100%, 3000 quotes, 3000 trades"


def test_the_venue_is_the_first_word_of_the_name(record):
    feed = RecordingFeed(record(QUOTE, name="binance_usdm_20240808.csv.gz"))

    assert (feed.name, feed.venue, feed.source, feed.symbols) == ("replay", "BINANCE", "replay", ["ETHUSDT"])


@pytest.mark.skipif(not REAL.exists(), reason="the recorded day is not on this machine")
def test_the_real_recording_is_read_whole():
    recording = Recording(REAL)

    assert sum(1 for _ in recording.events()) == 155_470
    assert (recording.quotes, recording.trades, recording.malformed) == (120_081, 35_389, 0)
