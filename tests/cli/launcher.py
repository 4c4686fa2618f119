"""Helpers of the launcher's tests: directories for servers, and processes of other accounts."""

import atexit
import fcntl
import os
import pickle
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.database.embedded import Server
from cli.database.postmaster import PidFile

AS_ROOT = os.geteuid() == 0
OTHERS = "daemon"  # an account that owns no server and that no server knows

PATIENCE = 30.0  # seconds to wait for what takes milliseconds

needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can act as other accounts")


def start(directory: Path, **options: Any) -> Server:
    """Start a server on a copy of a prepared data directory, without fsync: these tests cut no power."""
    if directory.parent.is_dir() and not directory.exists() and not options.get("binaries"):
        directory.mkdir()
        directory.chmod(0o711)
        subprocess.run(["cp", "-a", prepared_data(), directory / "data"], check=True)
    return Server.start(directory, fsync=False, **options)


@cache
def prepared_data() -> Path:
    """A data directory that initdb made; created once."""
    place = make_place()
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    Server.start(place, fsync=False).stop()
    return place / "data"


def make_place(*, in_memory: bool = True) -> Path:
    """Create a directory, in memory if a gigabyte is free there, because creating servers writes many files.

    Directories that killed runs left behind are removed.
    """
    memory = Path("/dev/shm")
    roomy = in_memory and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    base = memory if roomy else Path(tempfile.gettempdir())
    for old in base.glob("aegis-launcher-*-*"):
        if not lives(int(old.name.split("-")[2])):
            shutil.rmtree(old, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=f"aegis-launcher-{os.getpid()}-", dir=base))
    place.chmod(0o711)
    return place


@contextmanager
def scratch(*, in_memory: bool = True) -> Iterator[Path]:
    """A directory with a short name, which the account that runs a server for root may enter."""
    place = make_place(in_memory=in_memory)
    try:
        yield place
    finally:
        stop_whatever_runs(place)
        shutil.rmtree(place, ignore_errors=True)


def stop_whatever_runs(place: Path) -> None:
    for alive in place.rglob("alive"):
        said = alive.parent / "data" / "postmaster.pid"
        run = alive.parent / "run"
        if said.exists() and is_held(alive):
            os.kill(int(said.read_text().splitlines()[0]), signal.SIGQUIT)
            wait_until_nobody_lives(alive.parent)
        if run.is_symlink():
            shutil.rmtree(run.resolve(), ignore_errors=True)


def is_held(alive: Path) -> bool:
    with alive.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def wait_until_nobody_lives(directory: Path) -> None:
    """Wait until the kernel has released the lock that every process of the server holds."""
    deadline = time.monotonic() + PATIENCE
    while is_held(directory / "alive"):
        assert time.monotonic() < deadline, f"a process of the server in {directory} lives on"
        time.sleep(0.001)


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # gone meanwhile, or a system without this file
        return not Path("/proc").exists()


def wait_until_dead(pid: int) -> None:
    """Wait until the process is dead, which follows almost at once after it released its locks."""
    while lives(pid):
        time.sleep(0.001)


def wait_for_status(directory: Path, status: str) -> None:
    """Wait until the postmaster's pid file contains this status."""
    while (said := PidFile.read(directory / "data")) is None or said.status != status:
        time.sleep(0.001)


def ask(server: Server, statement: str) -> Any:
    """Run a statement as the superuser and return its one value."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
        row = conn.execute(statement).fetchone()
    assert row is not None
    return row[0]


def do(server: Server, statement: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
        conn.execute(statement)


class Child:
    """A forked process, possibly of another account, that runs a function and returns its result.

    It is forked, not executed, because the account may have no access to this interpreter's files.
    """

    def __init__(
        self, function: Callable[[], Any], account: str | None = None, *, stay: bool = False
    ) -> None:
        ours, theirs = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ours)
            self._run(function, account, theirs, stay)
        os.close(theirs)
        self._pipe = os.fdopen(ours, "rb")

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised."""
        outcome = pickle.load(self._pipe)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        os.waitpid(self.pid, 0)

    @staticmethod
    def _run(function: Callable[[], Any], account: str | None, pipe: int, stay: bool) -> None:
        try:
            if account is not None:
                entry = pwd.getpwnam(account)
                os.setgroups([])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
            outcome = function()
        except BaseException as error:  # it is raised again in the parent
            traceback.print_exc()
            outcome = error
        try:
            os.write(pipe, pickle.dumps(outcome))
            if stay:
                signal.pause()
        finally:
            os._exit(0)


def as_account(account: str, function: Callable[[], Any]) -> Any:
    """Run a function as another account and return its result."""
    child = Child(function, account)
    try:
        return child.result()
    finally:
        child.wait()
