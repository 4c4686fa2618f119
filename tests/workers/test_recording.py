"""Recordings: every row is an event or is reported; times, sizes and prices are kept as written."""

import gzip
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path

import pytest

from workers.feeds import FeedError, Quote, Trade, make_feed, pacing
from workers.feeds.grid import Grid
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
def test_a_malformed_row_is_reported_with_its_line_and_the_others_are_kept(record, row):
    reported = []
    recording = Recording(record(QUOTE, row, TRADE), reported.append)

    assert len(list(recording.events())) == 2
    assert [malformed.line for malformed in reported] == [3]
    assert recording.malformed == 1


def test_each_of_many_malformed_rows_is_reported(record):
    reported = []
    recording = Recording(record(*[QUOTE, "bad"] * 500), reported.append)

    assert len(list(recording.events())) == 500
    assert [malformed.line for malformed in reported] == list(range(3, 1002, 2))
    assert str(reported[0]) == "line 3 has 1 column, not 8: 'bad'"


def test_a_zero_or_negative_price_is_the_databases_to_judge(record):
    events = list(Recording(record(QUOTE.replace("2681.62", "0"), QUOTE.replace("2681.62", "-1"))).events())

    assert [event.bid for event in events] == ["0", "-1"]


def at(second, symbol="ETHUSDT", fraction="000000"):
    return f"2024-08-08T00:00:{second:02}.{fraction}Z,{symbol},{second + 1},1,{second + 2},1,,"


def test_a_row_that_is_older_than_one_before_it_is_late_and_comes_all_the_same(record):
    recording = Recording(record(at(1), at(3), at(2), at(3), at(1), at(4)))

    assert [event.ts.second for event in recording.events()] == [1, 3, 2, 3, 1, 4]
    assert (recording.late, recording.first_late) == (2, 4)


def test_nanoseconds_keep_their_order_within_the_microsecond(record):
    rows = [at(1, fraction=f"000001{digits}") for digits in ("", "1", "23", "900")]
    recording = Recording(record(*rows, at(1, fraction="000002")))

    events = list(recording.events())

    assert [event.ts.microsecond for event in events] == [1, 1, 1, 1, 2]
    assert recording.late == 0
    assert len(list(Recording(record(*rows[::-1])).events())) == 4


@pytest.mark.parametrize("name", ["newest first", "concatenated", "shuffled"])
def test_sorting_brings_back_the_order_of_the_times(record, name):
    """Rows of one microsecond keep the order of the original file."""
    rows = [at(n // 3, f"S{n}", f"00000{n % 3 // 2}") for n in range(60)]
    odd = {
        "newest first": rows[::-1],
        "concatenated": rows[30:] + rows[:30],
        "shuffled": [row for third in range(3) for row in rows[third::3]],
    }[name]
    recording = Recording(record(*odd))
    recording.sort = True

    assert list(recording.events()) == list(Recording(record(*rows)).events())
    assert recording.late > 0
    assert recording.quotes == 60


def test_sorting_orders_what_is_below_the_microsecond(record):
    rows = [at(1, f"S{n}", f"0000010{n}") for n in range(10)]
    recording = Recording(record(*rows[5:], *rows[:5]))
    recording.sort = True

    assert [event.symbol for event in recording.events()] == [f"S{n}" for n in range(10)]


def test_a_price_off_its_tick_is_counted_and_where_it_matters_refuses_its_row(record):
    reported = []
    recording = Recording(record(at(1), at(2), at(1, "OTHER")), reported.append)
    recording.grids = {"ETHUSDT": Grid([(Decimal(0), Decimal(2))])}
    assert len(list(recording.events())) == 3
    assert (recording.malformed, recording.off_tick, reported) == (0, 2, [])
    recording.strict = True

    assert [event.symbol for event in recording.events()] == ["OTHER"]
    assert (recording.malformed, recording.off_tick) == (2, 2)
    assert str(reported[0]).startswith("line 2 has the price 3, which is off the tick of ETHUSDT: ")


async def test_a_feed_names_the_first_ten_malformed_rows_and_counts_the_rest(record):
    reported = []
    feed = RecordingFeed(record(QUOTE, *["bad"] * 50, at(1)), speed=None, tell=reported.append)

    events = [event async for batch in feed.batches() for event in batch]

    assert len(events) == 2
    assert [row.line for row in reported] == list(range(3, 13))
    assert feed.progress() == "100%, 2 quotes, 0 trades, 50 malformed, 1 late"


async def test_a_feed_puts_prices_and_sizes_on_the_grid_of_the_database(record):
    feed = RecordingFeed(record(QUOTE.replace("2681.62", "2681.6200000000003")), speed=None)
    feed.obey({"ETHUSDT": Grid([(Decimal(0), Decimal("0.01"))], Decimal(1))})

    (event,) = [event async for batch in feed.batches() for event in batch]

    assert (event.bid, event.bid_size, event.ask, event.ask_size) == ("2681.62", "1", "2681.63", "73")
    assert feed.progress().endswith("1 prices put on their tick, 2 sizes cut to their lot")


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
    assert feed.progress() == "100%, 3000 quotes, 3000 trades, 2999 late"


def test_the_venue_is_the_first_word_of_the_name(record):
    feed = RecordingFeed(record(QUOTE, name="binance_usdm_20240808.csv.gz"))

    assert (feed.name, feed.venue, feed.source, feed.symbols) == ("replay", "BINANCE", "replay", ["ETHUSDT"])


@pytest.mark.skipif(not REAL.exists(), reason="the recorded day is not on this machine")
def test_the_real_recording_is_read_whole():
    recording = Recording(REAL)

    assert sum(1 for _ in recording.events()) == 155_470
    assert (recording.quotes, recording.trades, recording.malformed) == (120_081, 35_389, 0)
