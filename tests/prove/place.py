"""The database of all examples: a session for each station, one virtual time, wiped between examples.

A new database for each example would cost more than the example.  So a superuser wipes the same one, and its
sessions stay open with their cached plans.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

from cli.database import logins
from cli.database.embedded import Server
from cli.database.migrate import migrate
from cli.database.secrets import password_of
from tests.triggers import OFF, ON

Connection: TypeAlias = psycopg.Connection[Any]
Connect: TypeAlias = Callable[[str | None], Connection]

START = dt.datetime(2026, 3, 2, 1, 0, tzinfo=dt.UTC)  # Monday, 10:00 in Seoul
STRATEGY = "prover"
CODE = "open sesame"
ACCOUNTS = ("alpha", "beta")
STOCK, COIN = "STOCK", "COIN"  # lots of 1 on KRX ticks; lots of 0.001 with a minimum notional
LOGINS = {
    "desk": "aegis_desk",
    "feed": "aegis_w_price_sync",
    "router": "aegis_w_router",
    "exits": "aegis_w_exits",
    "risk": "aegis_w_risk",
    "execution": "aegis_w_execution",
    "other": "aegis_w_execution",
    "reconcile": "aegis_w_reconcile",
    "supervisor": "aegis_w_supervisor",
    "strategy": f"aegis_s_{STRATEGY}",
}
WIPED = [
    "paper.fills",
    "paper.orders",
    "strategy.gate_results",
    "strategy.picks",
    "strategy.pick_rates",
    "trade.position_exits",
    "trade.busts",
    "trade.cash_entries",
    "trade.fills",
    "trade.unmatched_fills",
    "trade.orders",
    "trade.order_intents",
    "trade.reconciliations",
    "trade.reconciliation_runs",
    "trade.positions",
    "risk.incidents",
    "risk.mode_history",
    "risk.account_equity",
    "bus.seals",
    "bus.events",
    "market.quarantine",
    "market.prices_best",
]


@dataclass(frozen=True)
class Call:
    """One call of `api`, kept so that a failure can be printed as a script."""

    at: dt.datetime
    station: str
    query: str
    args: tuple[Any, ...]


class Place:
    """The sessions, the clock, and the calls made since the last wipe."""

    def __init__(self, connect: Connect) -> None:
        self.now = START
        self.script: list[Call] = []
        self.workers: dict[str, int] = {}
        self._connect = connect
        self._sessions: dict[str, Connection] = {}
        self._times: dict[str, dt.datetime] = {}
        self.db = connect(None)
        self._found()

    def _found(self) -> None:
        """Create what every example shares: instruments, accounts, a strategy and the override code."""
        for symbol, ticks, lot, least in ((STOCK, "KRX", "1", "0"), (COIN, "0.01", "0.001", "5")):
            self.ask(
                "desk",
                "select add_instrument('SIM', %s, %s, 'KRW', %s, %s::numeric, %s::numeric)",
                symbol,
                symbol,
                ticks,
                lot,
                least,
            )
        for account in ACCOUNTS:
            self.ask("desk", "select add_account(%s, 'paper', 'SIM', 'KRW')", account)
        query = "select add_strategy(%s, 'x:Y', %s, %s::text[], 60000000, 7000000, 'tight')"
        self.ask("desk", query, STRATEGY, ACCOUNTS[0], [STOCK, COIN])
        self.ask("desk", "select start_strategy(%s)", STRATEGY)
        self.ask("desk", "select * from set_override_code(%s)", CODE)
        self.db.execute(  # one round, as in an older version: a walk checks it too often for a slow hash
            "update risk.override_codes as c"
            " set rounds = 1, digest = encode(sha256(convert_to(c.salt || %s, 'UTF8')), 'hex')",
            [CODE],
        )
        self.wipe()

    def wipe(self) -> None:
        """Reset everything: no holdings, no history, mode NORMAL, accounts not yet reconciled."""
        self.now += dt.timedelta(hours=1)
        self.script.clear()
        deletes = ";".join(f"delete from {table}" for table in WIPED)
        self.db.execute(
            f"begin; {OFF} {deletes};"
            " update trade.balances set cash = 0, locked_cash = 0, breach_cash = 0, stray_cash = 0;"
            " update trade.accounts set reconciled_at = null, reconciled_run = null, fills_cursor = '',"
            " fills_read_at = null;"
            " update trade.brokers set checked_at = null;"
            " update risk.system_mode set mode = 'NORMAL', reason = 'wiped';"
            " select setval('risk.override_locked_until', 0), setval('risk.override_tries', 0);"
            f" {ON}; commit".encode()
        )
        self.ask("feed", "select open_feed('sim', 'SIM', 'sim')")
        self.ask("supervisor", "select run_number from begin_run()")
        for station in ("execution", "other"):
            if station not in self.workers:
                self.hire(station)

    def vacuum(self) -> None:
        """Vacuum the dead rows that wiping leaves."""
        self.db.execute(f"vacuum {', '.join(WIPED)}, trade.balances, trade.accounts".encode())

    def session(self, station: str) -> Connection:
        if station not in self._sessions:
            self._sessions[station] = self._connect(LOGINS[station])
            self._times.pop(station, None)
        conn = self._sessions[station]
        if self._times.get(station) != self.now:
            conn.execute("select set_config('aegis.now', %s, false)", [self.now.isoformat()])
            self._times[station] = self.now
        return conn

    def rows(self, station: str, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Make a call and return all rows."""
        conn = self.session(station)
        self.script.append(Call(self.now, station, query, args))
        return conn.execute(query.encode(), args).fetchall()

    def ask(self, station: str, query: str, *args: Any) -> Any:
        """Make a call and return its single value."""
        found = self.rows(station, query, *args)
        return found[0][0] if found else None

    def hire(self, station: str) -> int:
        """Register a worker on a station's session, which holds the worker's lock."""
        self.workers[station] = int(self.ask(station, "select register_worker('execution', 1, 'here')"))
        assert self.ask(station, "select hold_worker_lock(%s)", self.workers[station])
        return self.workers[station]

    def kill(self, station: str) -> None:
        """Let a station's worker die unannounced; return when PostgreSQL has released its lock."""
        self._sessions.pop(station).close()
        worker = self.workers.pop(station)
        while self.db.execute("select bus.worker_is_alive(%s)", [worker]).fetchone() == (True,):
            pass

    def as_script(self) -> str:
        """The calls since the last wipe as a script, to read or to run again."""
        lines = []
        with psycopg.ClientCursor(self.db) as cursor:
            for call in self.script:
                said = cursor.mogrify(call.query.encode(), call.args)
                lines.append(f"/* {call.at:%F %T.%f} {call.station:9} */ {said};")
        return "\n".join(lines)

    def close(self) -> None:
        for conn in [*self._sessions.values(), self.db]:
            conn.close()


@contextmanager
def scratch_server() -> Iterator[Connect]:
    """A temporary server with one migrated database, in memory if there is room."""
    memory = Path("/dev/shm")
    base = memory if memory.is_dir() and shutil.disk_usage(memory).free > 1 << 30 else None
    directory = Path(tempfile.mkdtemp(prefix="aegis-prove-", dir=base))
    directory.chmod(0o711)
    try:
        with Server.start(directory / "server", fsync=False, die_with_owner=True) as server:
            yield _migrated(server, directory / "secrets")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _migrated(server: Server, secrets: Path, database: str = "prove") -> Connect:
    with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {database}".encode())
    with psycopg.connect(server.url(database), autocommit=True) as conn:
        logins.ensure_roles(conn)
        logins.secure_database(conn)
        migrate(conn, kind="test")
        logins.ensure_logins(conn, secrets)
        logins.ensure_strategy_login(conn, STRATEGY, secrets)

    def connect(login: str | None) -> Connection:
        password = password_of(login, secrets) if login else None
        return psycopg.connect(server.url(database, login), password=password, autocommit=True)

    return connect
