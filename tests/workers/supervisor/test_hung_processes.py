"""A process without heartbeats is killed and started again, unless our own are missed."""

import asyncio
import os
import re
import signal

from tests.workers.sample import TABLE
from tests.workers.supervisor.supervisor_kit import ALIVE, SAMPLE, row, until

HANGS = """
import time
from workers.strategies import Strategy

class Hog(Strategy):
    def on_data(self, price):
        while True:
            pass
"""
AGE = "update bus.workers set heartbeat_at = heartbeat_at - interval '10 s' where name = %s"


async def test_a_process_that_hangs_is_killed_and_started_again(db, supervise, monkeypatch):
    monkeypatch.setattr("workers.supervisor.STEADY", 0.1)
    db.execute(TABLE)
    supervise(SAMPLE)
    pid = await row(db, ALIVE)
    await row(db, "select count(*) from api.workers where name = 'router' and detail <> '{}'", 1)

    os.kill(pid, signal.SIGSTOP)
    db.execute(AGE, ["router"])

    await until(lambda: (found := db.execute(ALIVE).fetchone()) and found[0] != pid)
    said = await row(db, "select detail ->> 'message' from api.incidents where kind = 'hung_worker'")
    assert re.fullmatch(r"sample was killed: no heartbeat for 1\d s and is started again", said)


async def test_nobody_is_killed_while_our_own_heartbeats_are_missed(db, supervise):
    db.execute(TABLE)
    supervisor = supervise(SAMPLE)
    pid = await row(db, ALIVE)
    await row(db, "select count(*) from api.workers where name = 'router' and detail <> '{}'", 1)
    os.kill(pid, signal.SIGSTOP)
    db.execute(AGE, ["router"])
    try:
        assert db.execute("select is_hung from api.workers where name = 'router'").fetchone() == (True,)
        assert supervisor.heart.steady_for < 10  # its own heartbeats have not been steady for long enough

        await supervisor._kill_hung()

        assert supervisor.children["sample"].pid == pid
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_strategy_whose_own_code_never_returns_is_killed(
    db, login, supervise, add_strategy, tmp_path, monkeypatch
):
    monkeypatch.setattr("workers.supervisor.STEADY", 0.1)
    (tmp_path / "hog.py").write_text(HANGS)
    add_strategy("hog", f"{tmp_path / 'hog.py'}:Hog")
    supervise()
    await row(db, "select count(*) from api.workers where name = 'strategy.hog' and detail <> '{}'", 1)
    feed = login("aegis_w_price_sync")
    feed.execute("select open_feed('sim', 'SIM', 'sim')")
    feed.execute(
        "select ingest_quotes('sim', array['A1'], array[clock_timestamp()], array[1::bigint],"
        " array[100.0], array[1.0], array[101.0], array[1.0])"
    )
    feed.execute("notify quotes")
    await asyncio.sleep(0.5)  # until it is in its endless loop, which nothing reports

    db.execute(AGE, ["strategy.hog"])

    said = await row(db, "select detail ->> 'message' from api.incidents where kind = 'hung_worker'")
    assert said.startswith("strategy.hog was killed: no heartbeat for")
