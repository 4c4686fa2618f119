"""A temporary server for the benchmarks: embedded, on disk, with the shipped configuration, then removed.

It also keeps commit timestamps, so that the time between commits of two processes is measured with one clock.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from cli.database.connect import DESK, Database
from cli.database.secrets import password_of
from workers.runtime.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
Connection: TypeAlias = "asyncpg.Connection[Any]"

# Mark all accounts as reconciled in this run, so that their intents can be claimed.
OPEN = """
update trade.accounts
set reconciled_at = bus.clock(), reconciled_run = (select n.run_number from bus.instance as n)
"""
FLOORS = """
create schema bench;
create table bench.prices (
    symbol text primary key, bid numeric, bid_size numeric, ask numeric, ask_size numeric,
    ts timestamptz, seq bigint
) with (fillfactor = 50);
create table bench.rows (id bigint generated always as identity primary key, symbol text, quantity numeric);
create function bench.nothing() returns integer language plpgsql as 'begin return 1; end';
grant usage on schema bench to public;
grant all on all tables in schema bench to public;
"""


class Scratch:
    """One scratch server with one migrated database."""

    def __init__(self, directory: Path, database: Database) -> None:
        self.directory = directory
        self.database = database

    def environment(self, login: str) -> dict[str, str]:
        """The environment of a worker process, as the supervisor would set it."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return kept | self.database.worker_env(login) | {"PYTHONPATH": str(ROOT)}

    @asynccontextmanager
    async def connect(self, login: str = "") -> AsyncIterator[Connection]:
        """Connect as this login; '' for the administrator."""
        settings = self.database.settings
        if login:
            password = password_of(login, settings.secrets_dir)
            connection = await asyncpg.connect(self.database.url(login, password=password))
        else:
            server = self.database.embedded()
            connection = await asyncpg.connect(
                host=str(server.socket_dir),
                port=server.port,
                user=server.superuser,
                database=self.database.name,
            )
        try:
            yield connection
        finally:
            await connection.close()

    @contextmanager
    def workers(self, *commands: tuple[str, ...]) -> Iterator[dict[str, int]]:
        """Run real worker processes, as the supervisor would; yield their pids by name."""
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name, *args in commands:
                login = f"aegis_s_{args[0]}" if name == "strategy" else f"aegis_w_{name}"
                with (self.directory / f"{name}.log").open("ab") as log:
                    running[name] = subprocess.Popen(
                        [sys.executable, "-m", "workers", name, *args],
                        env=self.environment(login),
                        cwd=self.directory,
                        stderr=log,
                    )
            yield {name: process.pid for name, process in running.items()}
        finally:
            for process in running.values():
                process.send_signal(signal.SIGTERM)
            for process in running.values():
                process.wait(timeout=30)


@contextmanager
def scratch() -> Iterator[Scratch]:
    """Create a scratch server; stop and remove it at the end."""
    directory = Path(
        tempfile.mkdtemp(prefix="aegis-bench-", dir=os.environ.get("AEGIS_BENCH_DIR", "/var/tmp"))
    )
    directory.chmod(0o711)
    for name in [name for name in os.environ if name.startswith("AEGIS_") and name != "AEGIS_PG_BIN"]:
        del os.environ[name]
    os.environ["AEGIS_DATA_DIR"] = str(directory)
    database = Database.resolve(load_settings(), name="bench")
    try:
        database.migrate("demo")
        with database.admin() as conn:
            conn.execute("alter system set track_commit_timestamp = on")
        assert database.server is not None
        database.server.stop()
        database.server = None
        database.ensure_running()
        with database.admin() as conn:
            conn.execute(FLOORS)
        yield Scratch(directory, database)
    finally:
        if database.server is not None:
            database.server.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def furnish(scratch: Scratch, *, accounts: int = 1, symbols: int = 10) -> None:
    """Create paper accounts bench1 ... with ample cash, symbols S0 ..., one strategy and a feed."""
    scratch.database.ensure_strategy_login("bench")
    async with scratch.connect(DESK) as desk:
        if await desk.fetchval("select exists (select from api.accounts)"):
            return
        for n in range(symbols):
            await desk.execute("select api.add_instrument('SIM', $1, $1, 'KRW', '0.01')", f"S{n}")
        for n in range(1, accounts + 1):
            await desk.execute(
                "select api.add_account($1, 'paper', 'SIM', 'KRW', null, 1000000000000)", f"bench{n}"
            )
        await desk.execute(
            "select api.add_strategy('bench', $1, 'bench1', $2, 1e11, 1e6, 'tight')",
            *("workers.strategies.momentum:Momentum", [f"S{n}" for n in range(symbols)]),
        )
        await desk.execute("select api.start_strategy('bench')")
    async with scratch.connect("aegis_w_price_sync") as feed:
        await feed.execute("select api.open_feed('bench', 'SIM', 'sim')")
    async with scratch.connect("aegis_w_supervisor") as supervisor:
        await supervisor.execute("select api.begin_run()")


async def until(condition: Callable[[], Awaitable[Any]], patience: float = 10.0) -> Any:
    """Poll until the condition is true; return its value."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if answer := await condition():
            return answer
        await asyncio.sleep(0.0005)
    raise TimeoutError("a benchmark timed out; see the worker's log")


async def timed(call: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """The duration of each of `times` calls in seconds, after a few calls to warm up."""
    for _ in range(min(20, times)):
        await call()
    samples = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        samples.append(time.perf_counter() - began)
    return samples


def processor_seconds(connection: Connection) -> float | None:
    """Processor time that the server has spent on this connection; None where the kernel does not say."""
    try:
        return int(Path(f"/proc/{connection.get_server_pid()}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return None
