"""The whole of Aegis as a user runs it: embedded server, seeded database, supervisor and all workers.

One cluster serves all tests; each test has its own database, copied from one that was migrated and seeded
once.  Tests wait for facts (a row, a process that is gone), never for time to pass.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from cli.database import logins
from cli.database.connect import Database
from cli.database.embedded import Server
from tests.cli.launcher import wait_until_dead
from tests.e2e.books import violations
from workers.runtime.process import PARENT
from workers.runtime.registry import CORE
from workers.runtime.settings import Settings

Connection: TypeAlias = psycopg.Connection[Any]

ROOT = Path(__file__).parents[2]
TEMPLATE = "e2e_template"
SYMBOLS = ["005930", "000660", "035420", "005380"]
STRATEGIES = {
    "momentum": "workers.strategies.momentum:Momentum",
    "mean_reversion": "workers.strategies.mean_reversion:MeanReversion",
}
LOGINS = tuple(f"aegis_w_{name}" for name in CORE) + tuple(f"aegis_s_{name}" for name in STRATEGIES)
CODE = "tulip-4711"
ADD_STRATEGY = "select add_strategy(%s, %s, %s, %s, %s, %s, %s)"
PATIENCE = 20.0
LOOK = 0.02  # seconds between two checks of a fact


@dataclass
class Cluster:
    """An embedded server in a scratch directory, and the database that tests copy."""

    place: Path
    server: Server = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        self.start()
        self.database(TEMPLATE).migrate("demo")
        self._seed()

    def start(self) -> None:
        """Start the server, with crash recovery if needed; it listens at the same address as before."""
        self.server = Server.start(self.place / "server", die_with_owner=True)

    def kill(self) -> None:
        """Kill -9 the postmaster; return when no process of the server is left."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.stop("immediate")

    def database(self, name: str) -> Database:
        return Database(Settings(data_dir=self.place), name, self.server)

    def connect(self, name: str = "postgres") -> Connection:
        return psycopg.connect(self.server.url(name), autocommit=True)

    def _seed(self) -> None:
        """Create what `aegis up` creates for the demo: an account, four symbols, two strategies."""
        database = self.database(TEMPLATE)
        with database.desk() as desk:
            desk.execute("select add_account('demo', 'paper', 'SIM', 'KRW', null, 100000000)")
            for symbol in SYMBOLS:
                desk.execute("select add_instrument('SIM', %s, %s, 'KRW', 'KRX')", [symbol, symbol])
            for name, cls in STRATEGIES.items():
                desk.execute(ADD_STRATEGY, [name, cls, "demo", SYMBOLS, 40_000_000, 5_000_000, "tight"])
                database.ensure_strategy_login(name)
                desk.execute("select start_strategy(%s)", [name])
            desk.execute("select set_override_code(%s)", [CODE])

    def copy(self) -> str:
        """Create a copy of the seeded database and return its name."""
        self.count += 1
        name = f"e2e_{self.count}"
        with self.connect() as conn:
            create = sql.SQL("create database {} template {} strategy file_copy")
            conn.execute(create.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
            logins.secure_copy(conn, name)
        return name

    def drop(self, name: str) -> None:
        with self.connect() as conn:
            conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


class Process:
    """A worker process, started as the supervisor or a person starts it."""

    def __init__(self, system: System, name: str, *args: str, **settings: str) -> None:
        path = {key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ}
        env = path | system.worker_env(name) | settings
        env |= {"PYTHONPATH": str(ROOT), PARENT: str(os.getpid())}  # it ends when the tests are killed
        self.log = system.cluster.place / f"{system.name}.{name}.log"
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "workers", name, *args],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.popen.terminate()
        return self.popen.wait(PATIENCE)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(PATIENCE)


class System:
    """One database and the processes that work on it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.name = cluster.copy()
        self.processes: list[Process] = []
        self.supervisor: Process | None = None
        self._admin: Connection | None = None

    # Processes

    def start(self, *feed: str, **settings: str) -> None:
        """Start the supervisor; return when every worker is alive and the account is reconciled."""
        self.supervisor = self.spawn("supervisor", *(feed or ("sim:7",)), **settings)
        self.wait_until(self._all_live, what="every worker to live")
        self.wait_for("select is_open from api.accounts", what="the account to be reconciled")

    def restart(self) -> None:
        """Start the supervisor, after ending one that still runs but has given up a worker."""
        if self.supervisor is not None and self.supervisor.popen.poll() is None:
            self.supervisor.stop()
        self.start()

    def _all_live(self) -> bool:
        assert self.supervisor is not None
        status = self.supervisor.popen.poll()
        assert status is None, f"the supervisor ended with status {status}\n{self.story()}"
        return set(LOGINS) <= set(self.pids())

    def spawn(self, name: str, *args: str, **settings: str) -> Process:
        self.processes.append(Process(self, name, *args, **settings))
        return self.processes[-1]

    def worker_env(self, name: str) -> dict[str, str]:
        database = self.cluster.database(self.name)
        secrets = {"AEGIS_SECRETS_DIR": str(database.settings.secrets_dir)} if name == "supervisor" else {}
        return database.worker_env(f"aegis_w_{name}") | secrets

    def stop(self) -> None:
        """Stop the supervisor; it must exit with status 0, and all workers with it."""
        assert self.supervisor is not None
        assert self.supervisor.stop() == 0
        assert not self.pids()

    def close(self) -> None:
        """End all processes and drop the database."""
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in self.processes:
            try:
                process.popen.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._admin is not None:
            self._admin.close()
        self.cluster.drop(self.name)

    def pids(self) -> dict[str, int]:
        """The living worker processes by login, as PostgreSQL knows them."""
        return dict(self.rows("select login, pid from api.workers where is_alive"))

    def kill_worker(self, login: str) -> int:
        """Kill -9 a worker and return the pid it had."""
        pid = self.pids()[login]
        os.kill(pid, signal.SIGKILL)
        return pid

    # Facts

    @property
    def admin(self) -> Connection:
        """A superuser's connection, opened again if it was lost."""
        if self._admin is None or self._admin.broken or self._admin.closed:
            self._admin = self.cluster.connect(self.name)
        return self._admin

    def login(self, role: str) -> Connection:
        return self.cluster.database(self.name).connect(role)

    def desk(self) -> Connection:
        return self.login("aegis_desk")

    def aegis(self, *arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command `aegis` on this system's database; a code reaches it through a pipe."""
        env = {key: value for key, value in os.environ.items() if not key.startswith(("AEGIS_", "PG"))}
        env |= {
            "AEGIS_DATA_DIR": str(self.cluster.place),
            "AEGIS_DATABASE": self.name,
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.run(
            [sys.executable, "-c", "from cli.main import main; main()", *arguments],
            env=env,
            input=code,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def rows(self, query: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, which is repeated once if the connection was lost."""
        try:
            return self.admin.execute(query.encode(), args or None).fetchall()
        except psycopg.OperationalError:
            return self.admin.execute(query.encode(), args or None).fetchall()

    def value(self, query: str, args: Sequence[Any] = ()) -> Any:
        rows = self.rows(query, args)
        return rows[0][0] if rows else None

    def wait_for(
        self, query: str, args: Sequence[Any] = (), *, within: float = PATIENCE, what: str = ""
    ) -> Any:
        """Repeat a query until its first value is true; return the value."""
        return self.wait_until(lambda: self.value(query, args), within=within, what=what or query)

    def wait_until(self, fact: Callable[[], Any], *, within: float = PATIENCE, what: str) -> Any:
        deadline = time.monotonic() + within
        while not (found := fact()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {within:.0f} s for {what}\n{self.story()}")
            time.sleep(LOOK)
        return found

    def wait_for_fills(self, more: int = 1, *, side: str | None = None, within: float = PATIENCE) -> None:
        """Wait for this many fills of intents created from now on."""
        last = self.value("select coalesce(max(intent_id), 0) from trade.order_intents")
        self.wait_for(
            "select count(*) >= %s from trade.fills where intent_id > %s and (side = %s or %s)",
            [more, last, side or "", side is None],
            within=within,
            what=f"{more} fills of new {(side or '').lower()} intents",
        )

    def story(self) -> str:
        """The state to look at when a wait failed: rows and the last lines of the logs."""
        story = [f"{query}\n    {self.rows(query)}" for query in STORY]
        for process in self.processes:
            lines = process.log.read_text(errors="replace").splitlines()[-5:]
            story += [process.log.name, *(f"    {line[:500]}" for line in lines)]
        return "\n".join(story)

    # The end

    def verify(self, *, within: float = 30.0) -> None:
        """Wait until nothing is in flight; all books must then be correct."""
        wrong = self.wait_until(
            lambda: violations(self.admin), within=within, what="a moment without orders in flight"
        )
        assert wrong.found == [], "\n".join(wrong.found)


STORY = (
    "select * from api.status",
    "select * from api.totals",
    "select login, pid, state, detail ->> 'last_error' from api.workers where is_alive",
    "select kind, subject, detail from api.incidents where closed_at is null",
    "select code, message, count(*) from api.refusals group by 1, 2 order by 3 desc limit 5",
    "select status, count(*) from api.intents group by 1",
    "select status, count(*) from api.orders group by 1",
    "select change, data ->> 'message' from api.events where entity = 'error' order by event_id desc limit 5",
)


def wait_until_gone(pids: Sequence[int]) -> None:
    """Return when none of these processes is alive."""
    for pid in pids:
        wait_until_dead(pid)
