"""Fixtures that run a command on a test's database, as on an external server, and set up a small market."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.types.json import Jsonb

from cli.main import cli
from tests.cli.house import House, make
from tests.cli.launcher import scratch

Connection: TypeAlias = psycopg.Connection[Any]
Command: TypeAlias = Callable[..., Result]

QUOTE = """
select ingest_quotes('sim', '{005930}', array[clock_timestamp()], array[%s]::bigint[], array[%s]::numeric[],
    '{1000}', array[%s]::numeric[], '{1000}')
"""
FILL = """
select record_fill('mine', f.client_order_id, f.broker_order_id, f.broker_fill_id::text, f.quantity, f.price,
    f.fee, f.tax, f.filled_at)
from paper_fills_since('mine', %s, 10) as f
"""


@pytest.fixture
def command(monkeypatch, pg_server, database: str, secrets: Path, tmp_path: Path) -> Command:
    """Run a command on this test's database: `command("halt", "why")`."""
    for name in os.environ:
        if name.startswith("AEGIS_") and not name.startswith("AEGIS_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AEGIS_DATABASE_URL", pg_server.url(database))
    monkeypatch.setenv("AEGIS_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("AEGIS_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **how: CliRunner().invoke(cli, arguments, **how)


@dataclass
class Market:
    """One account with 10,000,000 KRW, one symbol, one strategy; it uses only `api`."""

    login: Callable[[str], Connection]
    seq: int = 0
    seen: int = 0

    def __post_init__(self) -> None:
        self.desk = self.login("aegis_desk")
        self.feed = self.login("aegis_w_price_sync")
        self.execution = self.login("aegis_w_execution")
        self.login("aegis_w_supervisor").execute("select begin_run()")
        self.desk.execute("select add_instrument('SIM', '005930', 'Samsung Electronics', 'KRW', 'KRX')")
        self.desk.execute("select add_account('mine', 'paper', 'SIM', 'KRW', null, 10000000)")
        self.desk.execute(
            "select add_strategy('momo', 'workers.strategies.momentum:Momentum', 'mine', '{005930}', 5000000,"
            " 1000000, 'swing')"
        )
        self.feed.execute("select open_feed('sim', 'SIM', 'sim')")
        self.quote(70_000, 70_100)
        self.worker = self.execution.execute("select register_worker('execution', 1, 'here')").fetchone()[0]

    def quote(self, bid: int, ask: int) -> None:
        self.seq += 1
        self.feed.execute(QUOTE, [self.seq, bid, ask])

    def reconcile(self) -> None:
        """Reconcile the account, so that it may trade."""
        with self.login("aegis_w_reconcile") as conn:
            (fingerprint,) = conn.execute("select holdings_fingerprint('mine')").fetchone()
            (snapshot,) = conn.execute("select paper_snapshot('mine')").fetchone()
            conn.execute("select reconcile('mine', %s, %s)", [fingerprint, Jsonb(snapshot)])

    def buy(self, quantity: int) -> int:
        """Buy for the strategy until the fill is recorded; return the intent's id."""
        (intent,) = self.desk.execute(
            "select create_intent('mine', '005930', 'BUY', %s, 70100, 'by hand', 'momo')", [quantity]
        ).fetchone()
        self.work()
        return int(intent)

    def work(self) -> None:
        """Do the work of the worker execution: claim, place, accept, and record fills."""
        orders = self.execution.execute(
            "select order_id, fence, client_order_id, symbol, side, quantity, limit_price"
            " from claim_intents(%s, 9)",
            [self.worker],
        ).fetchall()
        for order_id, fence, client_order_id, *order in orders:
            (placed,) = self.execution.execute(
                "select broker_order_id from paper_place(%s, 'mine', %s, %s, 'LIMIT', %s, %s)",
                [client_order_id, *order],
            ).fetchone()
            self.execution.execute("select order_accepted(%s, %s, %s)", [order_id, fence, placed])
        self.seen += len(self.execution.execute(FILL, [self.seen]).fetchall())


@pytest.fixture
def market(login) -> Market:
    return Market(login)


@pytest.fixture
def house() -> Iterator[House]:
    """A migrated database on a server of its own."""
    with scratch() as place:
        yield make(place / "one")
