"""The database that a replay runs in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.common.context import App
from cli.database.connect import Database

if TYPE_CHECKING:
    from cli.database.catalog import Connection


@contextlib.contextmanager
def own_database(app: App, *, keep: bool) -> Iterator[Database]:
    """A new database replay_<n>, dropped at the end unless it is kept.

    A running replay holds an advisory lock for its number.  A database whose lock is free was left by a
    killed replay: drop it and use its number again, unless it was kept.
    """
    server = Database.resolve(app.settings, name="postgres")
    server.ensure_running()
    started_here = server.server is not None and server.server.started_here
    try:
        with server.admin() as lock:
            number = next(n for n in range(1, 1000) if _is_free(lock, f"replay_{n}"))
            database = Database(app.settings, f"replay_{number}", server.server)
            database.drop()
            try:
                database.migrate("replay")
                if keep:
                    lock.execute(f"comment on database replay_{number} is 'kept'".encode())
                yield database
            finally:
                if not keep:
                    database.drop()
    finally:
        if started_here and not keep and server.server is not None:
            server.server.stop()


def _is_free(conn: Connection, name: str) -> bool:
    row = conn.execute(
        """
        select pg_try_advisory_lock(hashtext(%s)) and not exists (
            select from pg_database where datname = %s and shobj_description(oid, 'pg_database') = 'kept'
        )
        """,
        [name, name],
    ).fetchone()
    return row is not None and bool(row[0])
