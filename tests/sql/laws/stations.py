"""Sessions of every login in one virtual time, and how to call and to wait for each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import namedtuple_row

Connection: TypeAlias = psycopg.Connection[Any]
Login: TypeAlias = Callable[[str], Connection]

START = dt.datetime(2026, 3, 2, 1, 0, tzinfo=dt.UTC)  # Monday, 10:00 in Seoul
PATIENCE = dt.timedelta(seconds=20)  # how long a test waits for a race to show before it fails

LOGINS = {
    "desk": "aegis_desk",
    "feed": "aegis_w_price_sync",
    "router": "aegis_w_router",
    "exits": "aegis_w_exits",
    "risk": "aegis_w_risk",
    "supervisor": "aegis_w_supervisor",
    "execution": "aegis_w_execution",
    "reconcile": "aegis_w_reconcile",
}


class Stations:
    """The sessions of one test: each station has one of its own, and all see the same time."""

    def __init__(self, db: Connection, login: Login, pool: ThreadPoolExecutor) -> None:
        self.db = db
        self.now = START
        self.pool = pool
        self._login = login
        self._connections: list[Connection] = []
        self._stations: dict[str, Connection] = {}
        self._adopt(db)

    # -- sessions and time ---------------------------------------------------------------------------------

    def _adopt(self, conn: Connection) -> Connection:
        conn.execute("select set_config('aegis.now', %s, false)", [self.now.isoformat()])
        self._connections.append(conn)
        return conn

    def connect(self, station: str) -> Connection:
        """Open a session of a station (desk, router), a login, the `owner` of all or a `superuser`."""
        if station == "owner":
            conn = psycopg.connect(self.db.info.dsn, password=self.db.info.password, autocommit=True)
            conn.execute("set role aegis_owner")
        elif station == "superuser":
            conn = psycopg.connect(self.db.info.dsn, password=self.db.info.password, autocommit=True)
        else:
            return self._adopt(self._login(LOGINS.get(station, station)))
        return self._adopt(conn)

    def at(self, station: str) -> Connection:
        """Return the kit's own session for a station."""
        if station not in self._stations:
            self._stations[station] = self.connect(station)
        return self._stations[station]

    def advance(self, **duration: float) -> None:
        """Move the clock of every session: `advance(seconds=3)`."""
        self.now += dt.timedelta(**duration)
        for conn in self._connections:
            if not conn.closed:
                conn.execute("select set_config('aegis.now', %s, false)", [self.now.isoformat()])

    def close(self) -> None:
        for conn in self._connections:
            if conn is not self.db:
                conn.close()

    # -- calling -------------------------------------------------------------------------------------------

    def call(self, station: str | Connection, query: str, *args: Any) -> Any:
        """Run a query and return its one value."""
        conn = self.at(station) if isinstance(station, str) else station
        row = conn.execute(query, args).fetchone()
        return row[0] if row else None

    def rows(self, station: str | Connection, query: str, *args: Any) -> list[Any]:
        conn = self.at(station) if isinstance(station, str) else station
        with conn.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(query, args).fetchall()

    def look(self, query: str, *args: Any) -> Any:
        """Run a query as the administrator and return its first row, with column names."""
        found = self.rows(self.db, query, *args)
        return found[0] if found else None

    def background(self, conn: Connection, query: str, *args: Any) -> Future[Any]:
        """Run a query in another thread, for a session that has to wait."""
        return self.pool.submit(lambda: conn.execute(query, args).fetchall())

    def wait_for_lock(self, conn: Connection) -> None:
        """Return once another session is seen waiting for a lock; fail if that never happens."""
        self.wait_until(
            "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'",
            conn.info.backend_pid,
        )

    def wait_until(self, query: str, *args: Any) -> None:
        deadline = dt.datetime.now(dt.UTC) + PATIENCE
        while not self.call(self.db, query, *args):
            assert dt.datetime.now(dt.UTC) < deadline, f"never came true: {query}"
