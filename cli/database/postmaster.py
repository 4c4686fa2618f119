"""Find out whether a server is alive, and start its postmaster.

After a kill -9 the pid file is stale: its pid may be unused or belong to an unrelated process.  So each
server inherits a flock, which the kernel releases when its last process ends.  A caller that can take this
lock knows that no process of the old server is left, and may safely start a new one.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.database.account import Account
from cli.database.binaries import ServerError
from cli.database.cluster import clean_environment

PR_SET_PDEATHSIG = 1
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@dataclass(frozen=True)
class PidFile:
    """The content of `postmaster.pid`."""

    pid: int
    port: int
    socket_dir: Path
    listens_on: str
    status: str

    @classmethod
    def read(cls, data: Path) -> PidFile | None:
        """Read the file; None when it is missing or not yet complete."""
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
            return cls(int(lines[0]), int(lines[3]), Path(lines[4]), lines[5], lines[7].strip())
        except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
            return None
        except PermissionError as error:
            raise ServerError(
                f"{data} belongs to another account",
                hint="Run this as the account that runs Aegis, or as root.",
            ) from error


def answering(data: Path) -> PidFile | None:
    """The pid file of this data directory if its server is ready and answers on its socket, else None."""
    said = PidFile.read(data)
    if said is None or said.status != "ready":
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(said.socket_dir / f".s.PGSQL.{said.port}"))
            probe.sendall(SSL_REQUEST)
            return said if probe.recv(1) in (b"N", b"S") else None
        except OSError:
            return None


def stale_pid(data: Path) -> int | None:
    """The pid in the pid file of a server that is gone; remove a file that a crash cut short."""
    path = data / "postmaster.pid"
    try:
        return abs(int(path.read_text().splitlines()[0]))
    except FileNotFoundError:
        return None
    except (IndexError, ValueError):
        path.unlink()
        return None


@contextlib.contextmanager
def one_at_a_time(directory: Path, account: Account) -> Iterator[None]:
    """Let one process at a time start or stop the server of this directory."""
    descriptor = open_private(directory / "lock", account)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def take_alive_lock(directory: Path, account: Account) -> int | None:
    """The open, locked file for a new server to inherit; None while a process of an old one lives."""
    descriptor = open_private(directory / "alive", account)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def spawn(
    command: Sequence[str],
    account: Account,
    *,
    alive: int,
    log: int,
    die_with_owner: bool,
    stale_pid: int | None,
) -> subprocess.Popen[bytes]:
    """Start a postmaster that holds the alive lock.

    PostgreSQL refuses to start if the pid in an old pid file belongs to a living process of the same account,
    unless that process is its grandparent.  We hold the alive lock, so the pid belongs to an unrelated
    process: declare it the grandparent.
    """
    environment = clean_environment()
    if stale_pid is not None:
        environment["PG_GRANDPARENT_PID"] = str(stale_pid)
    return subprocess.Popen(
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(alive,),
        start_new_session=True,  # Ctrl-C goes only to the owner, which then shuts the server down
        umask=0o077,
        preexec_fn=_dies_with_me() if die_with_owner else None,
        **account.run_as(),
    )


def open_private(path: Path, account: Account, flags: int = 0) -> int:
    """Open a file for writing, created with mode 0600 for the account; raise ServerError for a symlink."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except OSError as error:
        raise ServerError(f"cannot open {path}: {error.strerror}") from error
    account.give(descriptor)
    return descriptor


def _dies_with_me() -> Callable[[], None] | None:
    """A function the child runs, so that the kernel sends it SIGINT when its owner ends (Linux only)."""
    if sys.platform != "linux":
        return None
    if threading.current_thread() is not threading.main_thread():
        raise ServerError("a server that dies with its owner must be started from the main thread")
    owner = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def interrupt_me_then() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != owner:
            os._exit(1)

    return interrupt_me_then
