"""Lay out the directory of an embedded server: its data, its socket and its configuration.

    directory/
        data/         PGDATA, mode 0700, owned by the account that runs the server
        run/          the socket; a link to a short directory when this path is too long for a socket
        binaries/     copies of programs that the account could not reach, if any
        lock          flock: one process at a time starts or stops the server
        alive         flock: held by every process of the server
        server.log

Configuration files are rewritten at each start, so that no edit can weaken authentication.  Change settings
with ALTER SYSTEM, which PostgreSQL stores in a separate file and reads last.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cli.database.account import Account
from cli.database.binaries import Binaries, ServerError, find_major

SOCKET_PATH_LIMIT = 107 if sys.platform == "linux" else 103

RESERVED_SINCE = 16  # the first version that can reserve connections for roles other than superusers

SETTINGS = """\
# aegis.conf: written by Aegis at each start. Change settings with ALTER SYSTEM, which wins over this file.
max_connections = 200                    # 10 for each of a dozen strategies, and what the core opens
superuser_reserved_connections = 5
authentication_timeout = '10s'           # how long a client that does not log in can hold a connection
shared_buffers = '128MB'
max_wal_size = '2GB'
random_page_cost = 1.1
jit = off                                # statements here are short; compiling them costs more than it saves
password_encryption = 'scram-sha-256'
timezone = 'UTC'                         # the same answer on every machine; venues have their own zones
log_timezone = 'UTC'
client_connection_check_interval = '1s'  # a killed worker's session ends, even while it waits for a lock
tcp_keepalives_idle = '30s'
tcp_keepalives_interval = '10s'
tcp_keepalives_count = 3
autovacuum_naptime = '15s'               # the last price of each symbol is updated many times a second
archive_mode = on                        # so that aegis backup --archive works at once;
archive_command = 'true'                 # until then no WAL is archived
log_lock_waits = on
log_parameter_max_length = 0             # what people type may be an override code; how the desk's login is
log_parameter_max_length_on_error = 0    # kept out of the log: cli/database/logins.py
log_line_prefix = '%m [%p] %u@%d %a '
"""

RESERVED = """\
reserved_connections = 50                # for the desk and the core, whatever strategies open
"""

HBA = """\
# pg_hba.conf: written by Aegis at each start.
# The superuser is known by its account on this machine and cannot come by TCP; all others need a password.
local all,replication postgres peer map=aegis
host all,replication postgres all reject
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
"""


def refuse_foreign_data(directory: Path, binaries: Binaries) -> None:
    """Raise ServerError if there is data that this major version did not create.  Changes nothing."""
    if (directory / "PG_VERSION").exists():
        raise ServerError(
            f"{directory} is itself a PostgreSQL data directory",
            hint="Choose an empty directory; Aegis creates its data directory inside it.",
        )
    data = directory / "data"
    try:
        if not data.exists():
            return
        made_by = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise ServerError(
            f"{data} exists but is not a PostgreSQL data directory",
            hint="Move it away, or set AEGIS_DATA_DIR to another directory.",
        ) from None
    except PermissionError:
        return  # the owner is wrong; server_account reports that more clearly
    if made_by != str(binaries.major):
        other = find_major(int(made_by)) if made_by.isdigit() else None
        keep = f"Keep using it with AEGIS_PG_BIN={other.bin}" if other else f"Install PostgreSQL {made_by}"
        raise ServerError(
            f"{data} was made by PostgreSQL {made_by}, but this is {binaries.version}; nothing was changed",
            hint=f"{keep}, or start afresh with another AEGIS_DATA_DIR.",
        )


def make_directory(directory: Path) -> None:
    """Create the directory and its missing parents; others may enter, but not list, those root creates."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    missing = [path for path in [directory, *directory.parents] if not path.exists()]
    try:
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another process created it first
                path.mkdir()
                path.chmod(mode)
    except OSError as error:
        raise ServerError(
            f"cannot create {directory}: {error.strerror}",
            hint="Set AEGIS_DATA_DIR to a directory you may write to.",
        ) from error


def create_data(directory: Path, binaries: Binaries, account: Account, *, fsync: bool) -> None:
    """Run initdb in a temporary directory and rename it, so that a failed initdb leaves no data directory."""
    unfinished = directory / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    account.give(unfinished)
    command = [binaries.program("initdb"), "-D", str(unfinished), "-U", "postgres", "--auth=trust"]
    command += ["--encoding=UTF8", "--locale=C", "--no-instructions", *([] if fsync else ["--no-sync"])]
    done = subprocess.run(
        command,
        cwd="/",
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        **account.run_as(),
    )
    if done.returncode != 0:
        raise ServerError(f"initdb failed in {directory}: {done.stderr.strip() or done.stdout.strip()}")
    with (unfinished / "postgresql.conf").open("a") as config:
        config.write("\ninclude_if_exists = 'aegis.conf'\n")
    configure(unfinished, account)
    unfinished.rename(directory / "data")


def configure(data: Path, account: Account) -> None:
    """Write settings and authentication; before the first start this replaces initdb's `trust`."""
    people = {account.name, "root", pwd.getpwuid(os.geteuid()).pw_name}
    ident = "".join(f'aegis "{name}" postgres\n' for name in sorted(people))
    settings = SETTINGS
    if int((data / "PG_VERSION").read_text()) >= RESERVED_SINCE:
        settings += RESERVED
    for name, text in {"aegis.conf": settings, "pg_hba.conf": HBA, "pg_ident.conf": ident}.items():
        write_private(data / name, text, account)


def write_private(path: Path, text: str, account: Account) -> None:
    """Replace a file atomically; only the account can read it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    account.give(Path(temporary))
    Path(temporary).replace(path)


def socket_directory(directory: Path, port: int, account: Account) -> Path:
    """The socket directory: `run`, or a short directory it links to when the socket path would be too long.

    When the server runs for root, other accounts may reach the socket, because strategies and the pooler
    run under other accounts.  Logging in still needs a password.
    """
    run = directory / "run"
    mode = 0o700 if account.is_me else 0o711
    if _fits(run, port):
        run.mkdir(exist_ok=True)
        run.chmod(mode)
        account.give(run)
        return run
    if run.is_dir() and run.stat().st_uid == account.uid:
        return run.resolve()
    short = Path(tempfile.mkdtemp(prefix="aegis-", dir="/tmp"))
    short.chmod(mode)
    account.give(short)
    run.unlink(missing_ok=True)
    run.symlink_to(short)
    return short


def clean_environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs, without the caller's PG* and locale variables."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _fits(run: Path, port: int) -> bool:
    return len(os.fsencode(run / f".s.PGSQL.{port}")) <= SOCKET_PATH_LIMIT
