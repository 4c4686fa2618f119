"""Replay: the same input gives the same history to the byte, and every event is accounted for."""

import asyncio
import gzip
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

import asyncpg
import pytest
from psycopg import sql

from cli.database import logins
from cli.database.migrate import migrate
from workers.feeds import Quote
from workers.feeds.recording import HEADER
from workers.feeds.simulator import Market
from workers.replay import Instrument, Plan, Replay, StrategyPlan, step_end, steps
from workers.runtime.settings import Settings

START = datetime(2025, 1, 2, tzinfo=UTC)
EVENTS = 3000
BROKEN = "not,a,row\n"
ELSEWHERE = "2025-01-02T00:00:05.000000Z,NOBODY,1,1,2,1,,\n"
STRATEGIES = (
    StrategyPlan("momentum", "workers.strategies.momentum:Momentum", {"threshold": 1.0}, "tight"),
    StrategyPlan("mean_reversion", "workers.strategies.mean_reversion:MeanReversion", {}, "tight"),
)


def line(event):
    ts = event.ts.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(event, Quote):
        return f"{ts},{event.symbol},{event.bid},{event.bid_size},{event.ask},{event.ask_size},,\n"
    return f"{ts},{event.symbol},,,,,{event.price},{event.size}\n"


@pytest.fixture(scope="session")
def recording(tmp_path_factory) -> Path:
    """A few thousand events of the simulator's market, a malformed row, and an unknown symbol."""
    lines = [line(event) for event in islice(Market(7, rate=150).events(START), EVENTS)]
    lines[EVENTS // 2 : EVENTS // 2] = [BROKEN, ELSEWHERE]
    file = tmp_path_factory.mktemp("recording") / "sim_test.csv.gz"
    with gzip.open(file, "wt") as out:
        out.writelines([HEADER + "\n", *lines])
    return file


@pytest.fixture
def plan(recording) -> Plan:
    symbols = sorted({event.symbol for event in islice(Market(7, rate=150).events(START), EVENTS)})
    return Plan(
        file=recording,
        venue="SIM",
        currency="KRW",
        cash=Decimal(100_000_000),
        instruments=[Instrument(symbol, "KRX", "1") for symbol in symbols],
        strategies=STRATEGIES,
        start=START,
        thorough=False,
    )


@pytest.fixture
def place(pg_server, maintenance, secrets):
    """Return a function that creates a new database of kind replay for each call."""
    made = []

    def make() -> str:
        name = f"replay_test_{len(made)}"
        maintenance.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        maintenance.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        made.append(name)
        with pg_server.connect(name) as conn:
            logins.ensure_roles(conn)
            logins.ensure_logins(conn, secrets)
            logins.secure_database(conn)
            migrate(conn, kind="replay")
            for strategy in STRATEGIES:
                logins.ensure_strategy_login(conn, strategy.name, secrets)
        return name

    yield make
    for name in made:
        maintenance.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def known() -> dict[str, str]:
    """Holds the digest of the unchanged plan, once a test has needed it."""
    return {}


@pytest.fixture
async def digest_of_plan(run, plan, known):
    if not known:
        _, known["plan"], _ = await run(plan)
    return known["plan"]


@pytest.fixture
def run(pg_server, place):
    """Replay a plan in a new database; return the replay, its digest and the results of these queries."""

    async def replay(plan, *questions, **how):
        connection = await asyncpg.connect(pg_server.url(place()))
        try:
            done = Replay(Settings(), connection, plan, **how)
            await done.run()
            return done, await done.digest(), [await done.admin.fetch(question) for question in questions]
        finally:
            await connection.close()

    return replay


async def test_the_same_recording_gives_the_same_history_to_the_byte(run, plan, digest_of_plan):
    first, digest, (audit, fills) = await run(
        plan,
        "select * from api.law_audit",
        "select side, count(*) from api.fills group by side order by side",
    )

    assert digest == digest_of_plan
    assert audit == []
    assert [side for side, _ in fills] == ["BUY", "SELL"]  # it must trade, or the test proves nothing
    assert first.steps > 100


async def test_leaving_out_drains_that_would_find_nothing_changes_nothing(run, plan, digest_of_plan):
    _, digest, _ = await run(replace(plan, thorough=True))

    assert digest == digest_of_plan


async def test_another_input_gives_another_history(run, plan, digest_of_plan):
    _, digest, _ = await run(replace(plan, cash=Decimal(100_000_001)))

    assert digest != digest_of_plan


async def test_every_event_is_applied_superseded_or_quarantined(run, plan):
    malformed_rows = []

    done, _, ((quarantine,), (feed,)) = await run(
        plan,
        "select symbol, reason from api.quarantine",
        "select * from api.feeds",
        malformed=malformed_rows.append,
    )

    counts = done.counts
    assert counts.total == EVENTS + 1
    assert tuple(quarantine) == ("NOBODY", "unknown symbol")
    assert counts.quarantined == 1
    assert counts.applied == feed["quotes_applied"] + feed["trades_applied"]
    assert [row.line for row in malformed_rows] == [EVENTS // 2 + 2]
    assert feed["status"] == "ENDED"


async def test_all_its_times_are_those_of_the_recording(run, plan):
    _, _, ((events,), (fills,)) = await run(
        plan,
        "select min(at), max(at) from api.events",
        "select min(filled_at), max(recorded_at) from api.fills",
    )

    for first, last in (events, fills):
        assert START <= first <= last < START + timedelta(minutes=2)


async def test_a_replay_that_is_stopped_keeps_what_it_has_done(run, plan):
    def stop(replay):
        if replay.steps == 50:
            replay.request_stop()

    done, _, (audit,) = await run(plan, "select * from api.law_audit", progress=stop)

    assert done.steps == 50
    assert done.stopped
    assert 0 < done.counts.total < EVENTS
    assert audit == []


async def test_a_busy_machine_changes_nothing(run, plan, digest_of_plan, monkeypatch):
    original = Replay._drain

    async def slow(self, worker):
        if worker is self.execution and self.steps % 40 == 0:
            await asyncio.sleep(0.02)
        return await original(self, worker)

    monkeypatch.setattr(Replay, "_drain", slow)
    _, digest, _ = await run(plan)

    assert digest == digest_of_plan


def test_a_step_holds_what_came_within_it_and_time_never_goes_back():
    at = [0, 10, 49, 50, 30, 170]
    events = [Quote("S", START + timedelta(milliseconds=ms), "1", "1", "2", "1") for ms in at]

    found = list(steps(iter(events), timedelta(milliseconds=50)))

    assert [(end - START) // timedelta(milliseconds=1) for end, _ in found] == [50, 100, 200]
    assert [len(batch) for _, batch in found] == [3, 2, 1]


def test_steps_do_not_depend_on_where_a_recording_begins():
    step = timedelta(milliseconds=50)

    assert step_end(START, step) == START + step
    assert step_end(START + timedelta(milliseconds=49), step) == START + step


# Code that may read a clock or a random number, because no result depends on it: the runtime (deadlines,
# backoff, logs), the pacing of live feeds, the supervisor.  In a replay the deadline of a send stands still.
UNTIMELY = re.compile(
    r"\btime\.(time|monotonic|perf_counter)|datetime\.(now|utcnow|today)|\(\)\.time\(\)|utc_now\(|"
    r"\b(random|secrets|uuid)\b(?= import|\.)|urandom"
)
ALLOWED = {
    "execution.py": "monotonic = staticmethod(time.monotonic)",
    "price_sync.py": "now = asyncio.get_running_loop().time()",
    "supervisor.py": "",
    "scheduler.py": "",  # a replay has none
    "feeds/pacing.py": "",
    "feeds/simulator.py": "utc_now()",
    "feeds/recording.py": "utc_now()",
}
WORKERS = Path(__file__).parents[2] / "workers"


@pytest.mark.parametrize("path", sorted(WORKERS.rglob("*.py")), ids=lambda path: path.name)
def test_workers_read_no_clock_and_draw_no_lots(path):
    name = path.relative_to(WORKERS).as_posix()

    found = [text for text in path.read_text().splitlines() if UNTIMELY.search(text)]

    if not name.startswith("runtime/"):
        assert [text for text in found if ALLOWED.get(name, "nowhere") not in text] == []
