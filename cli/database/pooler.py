"""Run PgBouncer in front of the embedded server with the pgbouncer.ini that ships with Aegis.

The file names no path: PgBouncer runs in the directory of the server's socket, so that it works
unchanged for every data directory.  It runs as the server's account, which the server knows by
peer, so that logins and their scram secrets are read from the server and never copied to a file.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, urlencode

from cli.database.account import Account
from cli.database.binaries import ServerError
from cli.database.cluster import clean_environment, write_private
from cli.database.embedded import Server

PORT = 6432
SERVER_PORT = 5432  # what pgbouncer.ini says
PATIENCE = 10.0
POLL = 0.01


def pooled_url(server: Server, dbname: str, user: str) -> str:
    """The address of a database through the pooler; it holds no password."""
    where = urlencode({"host": server.socket_dir, "port": PORT})
    return f"postgresql://{quote(user, safe='')}@/{quote(dbname, safe='')}?{where}"


def is_running(server: Server) -> bool:
    """Whether a pooler answers beside the server's socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(server.socket_dir / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
        return True


def start(server: Server) -> subprocess.Popen[bytes]:
    """Start PgBouncer for this server and wait until it answers; its log goes to our stderr.

    The caller waits for the process, or ends it with `terminate()`.
    """
    program = find_pgbouncer()
    if server.port != SERVER_PORT:
        raise ServerError(
            f"the embedded server runs on port {server.port}, and pgbouncer.ini expects {SERVER_PORT}",
            hint="Start the server without a TCP port.",
        )
    if is_running(server):
        raise ServerError(f"a pooler already runs in {server.socket_dir}")
    process = subprocess.Popen(
        [program, str(_readable_config(server))],
        cwd=server.socket_dir,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        **server.account.run_as(),
    )
    deadline = time.monotonic() + PATIENCE
    while not is_running(server):
        if process.poll() is not None:
            raise ServerError(f"PgBouncer ended while starting (exit status {process.returncode})")
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise ServerError(f"PgBouncer does not answer after {PATIENCE:.0f} s")
        time.sleep(POLL)
    return process


def find_pgbouncer() -> str:
    """The PgBouncer of this machine; packages put it where only root's PATH looks."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    if program := shutil.which("pgbouncer", path=search):
        return program
    raise ServerError("there is no pgbouncer on this machine", hint="Install it: apt-get install pgbouncer")


def config_file() -> Path:
    """The pgbouncer.ini of the checkout, or of the installed package."""
    here = Path(__file__).resolve().parent
    for path in (here / "pgbouncer.ini", here.parents[1] / "pgbouncer.ini"):
        if path.is_file():
            return path
    raise ServerError("pgbouncer.ini is missing from this installation")


def _readable_config(server: Server) -> Path:
    """The file itself, or a copy when the account that runs PgBouncer cannot read it."""
    path = config_file()
    account: Account = server.account
    if account.is_me or account.can("-r", str(path)):
        return path
    copy = server.directory / "pgbouncer.ini"
    write_private(copy, path.read_text(), account)
    return copy
