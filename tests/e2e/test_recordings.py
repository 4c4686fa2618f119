"""Recordings played through the whole system: every event is applied, superseded or quarantined, and counted.

The simulator makes the small recording.  AEGIS_SAMPLE_RECORDING may name a big one of two Binance symbols,
which is played at speeds 100 and max.
"""

import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.e2e.system import ADD_STRATEGY, System
from workers.feeds import Quote
from workers.feeds.recording import HEADER, Recording
from workers.feeds.simulator import Market

COUNTS = """
select status, quotes_applied + quotes_superseded + quotes_quarantined as quotes,
       trades_applied + trades_superseded + trades_quarantined as trades, detail
from api.feeds
where feed = 'replay'
"""
SAMPLE = os.environ.get("AEGIS_SAMPLE_RECORDING")
CRYPTO = ["BTCUSDT", "ETHUSDT"]


Maker: TypeAlias = Callable[[int], Path]


@pytest.fixture
def make_recording(tmp_path: Path) -> Maker:
    """Return a function that writes this many events of a simulated market as a recording."""

    def make(events: int) -> Path:
        path = tmp_path / "sim_20250102.csv.gz"
        market = Market(seed=11).events(datetime(2025, 1, 2, tzinfo=UTC))
        with gzip.open(path, "wt") as file:
            print(HEADER, file=file)
            for event in islice(market, events):
                ts = event.ts.isoformat(timespec="microseconds").replace("+00:00", "Z")
                if isinstance(event, Quote):
                    row = [ts, event.symbol, event.bid, event.bid_size, event.ask, event.ask_size, "", ""]
                else:
                    row = [ts, event.symbol, "", "", "", "", event.price, event.size]
                print(",".join(row), file=file)
        tmp_path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize(("events", "speed"), [(600, "1"), (20_000, "max")])
def test_every_recorded_event_is_counted(
    system: System, make_recording: Maker, events: int, speed: str
) -> None:
    recording = make_recording(events)

    system.start(f"replay:{recording}", speed)

    assert_all_counted(system, recording)


@pytest.mark.skipif(SAMPLE is None, reason="AEGIS_SAMPLE_RECORDING names no recording")
@pytest.mark.parametrize("speed", ["max", "100"])
def test_every_event_of_the_sample_is_counted(system: System, speed: str) -> None:
    recording = Path(SAMPLE or "")
    add_crypto(system)

    system.start(f"replay:{recording}", speed)

    assert_all_counted(system, recording)
    assert system.value("select sum(quotes_quarantined + trades_quarantined) from api.feeds") == 0


def add_crypto(system: System) -> None:
    """Add an account and a strategy for the symbols of the sample."""
    database = system.cluster.database(system.name)
    with database.desk() as desk:
        desk.execute("select add_account('crypto', 'paper', 'BINANCE', 'USDT', null, 100000)")
        for symbol in CRYPTO:
            desk.execute(
                "select add_instrument('BINANCE', %s, %s, 'USDT', '0.01', 0.001, 5)", [symbol, symbol]
            )
        cls = "workers.strategies.mean_reversion:MeanReversion"
        desk.execute(ADD_STRATEGY, ["crypto_reversion", cls, "crypto", CRYPTO, 50_000, 5_000, "tight"])
        database.ensure_strategy_login("crypto_reversion")
        desk.execute("select start_strategy('crypto_reversion')")


def assert_all_counted(system: System, recording: Path) -> None:
    totals = Recording(recording).totals

    system.wait_for(
        "select exists (select from api.feeds where feed = 'replay' and status = 'ENDED')",
        within=60,
        what="the recording to end",
    )

    status, quotes, trades, detail = system.rows(COUNTS)[0]
    assert (status, quotes, trades) == ("ENDED", totals.quotes, totals.trades), detail
