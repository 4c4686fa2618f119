"""Run PgBouncer in front of the embedded server with the pgbouncer.ini that ships with Aegis.

The file contains no paths: it is copied unchanged into the directory of the server's socket and PgBouncer
runs there, so the same file works for every data directory.  PgBouncer runs as the server's account, which
connects by peer authentication, so logins and their SCRAM verifiers are looked up in the server and never
written to a file.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, urlencode

from cli.database.binaries import ServerError
from cli.database.cluster import clean_environment, write_private
from cli.database.embedded import Server

CONFIG_FILES = ("pgbouncer.ini", "pgbouncer_hba.conf")
PORT = 6432
SERVER_PORT = 5432  # as in pgbouncer.ini
PATIENCE = 10.0
POLL = 0.01


def pooled_url(server: Server, dbname: str, user: str) -> str:
    """The URL of a database through the pooler; it contains no password."""
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

    The caller must wait for the process or `terminate()` it.
    """
    program = find_pgbouncer()
    if server.port != SERVER_PORT:
        raise ServerError(
            f"the embedded server runs on port {server.port}, and pgbouncer.ini expects {SERVER_PORT}",
            hint="Start the server without a TCP port.",
        )
    if is_running(server):
        raise ServerError(f"a pooler is already running in {server.socket_dir}")
    for name in CONFIG_FILES:  # beside the socket, where the server's account can read them
        write_private(server.socket_dir / name, shipped_file(name).read_text(), server.account)
    process = subprocess.Popen(
        [program, CONFIG_FILES[0]],
        cwd=server.socket_dir,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        **server.account.run_as(),
    )
    deadline = time.monotonic() + PATIENCE
    while not is_running(server):
        if process.poll() is not None:
            raise ServerError(f"PgBouncer exited during startup (exit status {process.returncode})")
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise ServerError(f"PgBouncer does not answer after {PATIENCE:.0f} s")
        time.sleep(POLL)
    return process


def find_pgbouncer() -> str:
    """Find PgBouncer; packages install it in /usr/sbin, which is only in root's PATH."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    if program := shutil.which("pgbouncer", path=search):
        return program
    raise ServerError("there is no pgbouncer on this machine", hint="Install it: apt-get install pgbouncer")


def shipped_file(name: str) -> Path:
    """A configuration file of the checkout, or of the installed package."""
    here = Path(__file__).resolve().parent
    for folder in (here, here.parents[1]):
        if (folder / name).is_file():
            return folder / name
    raise ServerError(f"{name} is missing from this installation")
