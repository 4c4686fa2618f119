"""Run PostgreSQL as a part of Aegis: one call starts the server, or joins it if it already runs.

    with Server.start(directory) as server:
        psycopg.connect(server.url("postgres"))

At the end of the `with`, a server that was started here is stopped; one that was joined keeps running.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote, urlencode

from cli.database import cluster, postmaster
from cli.database.account import Account, reachable_binaries, reachable_directory, server_account
from cli.database.binaries import Binaries, ServerError, find_binaries

__all__ = ["Server", "ServerError"]

SUPERUSER = "postgres"
SOCKET_PORT = 5432  # part of the socket's name; its directory is private, so it never collides
PATIENCE = 60.0  # seconds to wait for a start, recovery or stop before raising ServerError
POLL = 0.01
LOG = "server.log"
LOG_LIMIT = 16_000_000
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

StopMode = Literal["smart", "fast", "immediate"]


@dataclass
class Server:
    """A running embedded server."""

    directory: Path
    socket_dir: Path
    port: int
    pid: int
    tcp: bool
    account: Account
    started_here: bool
    superuser: str = SUPERUSER
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        fsync: bool = True,
        port: int | None = None,
        die_with_owner: bool = False,
        binaries: Binaries | None = None,
    ) -> Self:
        """Start the server of this directory, creating its data if needed, or join it if it already runs.

        With `port` it also listens on 127.0.0.1 (0 picks a free port).  Without `fsync` a crash of
        the machine may lose data; use that only in tests.
        """
        directory = directory.expanduser().resolve()
        binaries = binaries or find_binaries()
        cluster.refuse_foreign_data(directory, binaries)
        account = server_account(directory / "data")
        cluster.make_directory(directory)
        reachable_directory(directory, account)
        with postmaster.one_at_a_time(directory, account):
            alive = cls._wait_for_the_old(directory, account)
            if isinstance(alive, postmaster.PidFile):
                return cls._joined(directory, account, alive, port)
            try:
                binaries = reachable_binaries(binaries, account, directory / "binaries")
                if not (directory / "data").exists():
                    cluster.create_data(directory, binaries, account, fsync=fsync)
                return cls._run(directory, account, binaries, alive, port, fsync, die_with_owner)
            finally:
                os.close(alive)

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """Join the server that runs in this directory; raise ServerError if none does."""
        directory = directory.expanduser().resolve()
        running = postmaster.answering(directory / "data")
        if running is None:
            raise ServerError(f"no server runs in {directory}", hint="Start it: aegis up")
        return cls._joined(directory, server_account(directory / "data"), running, None)

    def url(self, dbname: str, user: str | None = None, *, tcp: bool = False) -> str:
        """The URL of a database, through the socket unless `tcp`; it contains no password."""
        user, dbname = quote(user or self.superuser, safe=""), quote(dbname, safe="")
        if tcp:
            if not self.tcp:
                raise ServerError("this server does not listen on TCP", hint="Start it with a port.")
            return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}"
        where = urlencode({"host": self.socket_dir, "port": self.port})
        return f"postgresql://{user}@/{dbname}?{where}"

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server: `fast` writes everything to disk, `immediate` relies on crash recovery."""
        with postmaster.one_at_a_time(self.directory, self.account):
            self._signal(STOP_SIGNALS[mode])
            deadline = time.monotonic() + PATIENCE
            while not self._gone():
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"the server in {self.directory} has not stopped in {PATIENCE:.0f} s",
                        hint=f"See {self.directory / LOG}.",
                    )
                time.sleep(POLL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.started_here:
            self.stop()

    @classmethod
    def _wait_for_the_old(cls, directory: Path, account: Account) -> postmaster.PidFile | int:
        """The running server, or, once no process of an old one is left, the alive lock for a new one."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if running := postmaster.answering(directory / "data"):
                return running
            if (alive := postmaster.take_alive_lock(directory, account)) is not None:
                return alive
            if time.monotonic() > deadline:
                raise ServerError(
                    f"a server in {directory} has neither answered nor ended in {PATIENCE:.0f} s",
                    hint=f"See {directory / LOG}.",
                )
            time.sleep(POLL)

    @classmethod
    def _joined(
        cls, directory: Path, account: Account, running: postmaster.PidFile, port: int | None
    ) -> Self:
        tcp = bool(running.listens_on)
        if port is not None and not (tcp and port in (0, running.port)):
            where = f"on TCP port {running.port}" if tcp else "without a TCP port"
            raise ServerError(
                f"a server is already running in {directory}, {where}",
                hint="Stop it first, or do not ask for a port.",
            )
        return cls(directory, running.socket_dir, running.port, running.pid, tcp, account, started_here=False)

    @classmethod
    def _run(
        cls,
        directory: Path,
        account: Account,
        binaries: Binaries,
        alive: int,
        port: int | None,
        fsync: bool,
        die_with_owner: bool,
    ) -> Self:
        """Start a postmaster and wait until its own pid file says that it is ready."""
        data, tcp = directory / "data", port is not None
        cluster.configure(data, account)
        number = SOCKET_PORT if port is None else port or _free_port()
        socket_dir = cluster.socket_directory(directory, number, account)
        options = {
            "port": str(number),
            "listen_addresses": "127.0.0.1" if tcp else "",
            "unix_socket_directories": str(socket_dir),
        }
        if not fsync:
            options |= {"fsync": "off", "full_page_writes": "off"}
        command = [binaries.program("postgres"), "-D", str(data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        stale_pid = postmaster.stale_pid(data)
        log, log_start = _open_log(directory, account)
        try:
            process = postmaster.spawn(
                command, account, alive=alive, log=log, die_with_owner=die_with_owner, stale_pid=stale_pid
            )
        finally:
            os.close(log)
        _started.append(process)
        _wait_until_ready(process, data, directory / LOG, log_start)
        server = cls(
            directory, socket_dir, number, process.pid, tcp, account, started_here=True, _process=process
        )
        if die_with_owner and sys.platform != "linux":
            atexit.register(server._stop_at_exit, os.getpid())
        return server

    def _signal(self, number: signal.Signals) -> None:
        """Signal the postmaster; trust a pid file only if its server is starting or answers."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
            return
        said = postmaster.PidFile.read(self.directory / "data")
        if said and (said.status == "starting" or postmaster.answering(self.directory / "data")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(said.pid, number)

    def _gone(self) -> bool:
        """Whether no process of the server is left."""
        if self._process is not None and self._process.poll() is None:
            return False
        if postmaster.answering(self.directory / "data"):
            return False
        alive = postmaster.take_alive_lock(self.directory, self.account)
        if alive is None:
            return False
        os.close(alive)
        return True

    def _stop_at_exit(self, owner: int) -> None:
        if os.getpid() == owner:
            self.stop()


# Keep the Popen objects, so that a server may outlive the Server object that started it.
_started: list[subprocess.Popen[bytes]] = []


def _wait_until_ready(process: subprocess.Popen[bytes], data: Path, log: Path, log_start: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        said = postmaster.PidFile.read(data)
        if said and said.pid == process.pid and said.status == "ready":
            return
        if process.poll() is not None:
            written = log.read_text(errors="replace")[log_start:].strip().splitlines()
            raise ServerError(
                f"PostgreSQL exited during startup (exit status {process.returncode})",
                hint="\n".join([f"The end of {log}:", *written[-10:]]),
            )
        if time.monotonic() > deadline:
            raise ServerError(
                f"PostgreSQL is still starting after {PATIENCE:.0f} s",
                hint=f"A long recovery may still be running. See {log}, and try again later.",
            )
        time.sleep(POLL)


def _open_log(directory: Path, account: Account) -> tuple[int, int]:
    """Open the log for appending; return its descriptor and size.  A log over LOG_LIMIT is renamed first."""
    path = directory / LOG
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    log = postmaster.open_private(path, account, os.O_APPEND)
    return log, os.fstat(log).st_size


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
