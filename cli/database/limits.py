"""Limit what each login may use of the server, so that a strategy cannot starve the other logins.

Connections, disk space and log volume are limited where the login itself cannot lift the limit: by a property
of its role, or by settings that only a superuser may change.  A value that an administrator has already set
for a role is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from psycopg import errors, sql

from cli.database.catalog import Connection

STRATEGY_CONNECTIONS = 10
"""A pool of 4 (8 in PgBouncer), the LISTEN connection, and a dead one the server has not yet noticed."""
WORKER_CONNECTIONS = 24
SETTINGS = {
    "temp_file_limit": "64MB",  # a large sort must not fill the disk
    "log_min_messages": "fatal",  # nor RAISE LOG the server's log; the strategy process logs to its own file
    "log_min_error_statement": "panic",
    "statement_timeout": "30s",  # only a default: the login may change it
}
"""Set for each strategy. All but the last need a superuser; `aegis doctor` reports where they are missing."""
RESERVED_FOR = ("aegis_operator", "aegis_feed", "aegis_engine", "aegis_executor")
"""The roles that may use reserved connections: all but strategies and read-only viewers."""
TEMPLATES = ("postgres", "template1")


def limit_logins(conn: Connection) -> None:
    """Limit the connections of every worker and strategy, and apply SETTINGS to every strategy."""
    for login, connections, settings in conn.execute(
        """
        select r.rolname, r.rolconnlimit, coalesce(s.setconfig, '{}')
        from pg_roles as r
        left join pg_db_role_setting as s on s.setrole = r.oid and s.setdatabase = 0
        where r.rolname ~ '^aegis_[sw]_' and r.rolcanlogin
        """
    ).fetchall():
        is_strategy = login.startswith("aegis_s_")
        if connections == -1:
            most = STRATEGY_CONNECTIONS if is_strategy else WORKER_CONNECTIONS
            _alter(conn, login, sql.SQL("connection limit {}").format(most))
        known = {setting.partition("=")[0] for setting in settings}
        for name in sorted(SETTINGS.keys() - known) if is_strategy else ():
            _alter(conn, login, sql.SQL("set {} = {}").format(sql.Identifier(name), SETTINGS[name]))


def reserve_connections(conn: Connection) -> None:
    """Let the desk and the core workers use reserved connections, if the server version has them."""
    groups = conn.execute(
        """
        select g.rolname
        from pg_roles as r
        cross join pg_roles as g
        where r.rolname = 'pg_use_reserved_connections' and g.rolname = any(%s)
          and not exists (select from pg_auth_members as m where m.roleid = r.oid and m.member = g.oid)
        """,
        [list(RESERVED_FOR)],
    ).fetchall()
    for (group,) in groups:
        _try(conn, sql.SQL("grant pg_use_reserved_connections to {}").format(sql.Identifier(group)))


def close_databases(conn: Connection, names: Iterable[str] = TEMPLATES) -> None:
    """Revoke access to databases that our logins do not need, from everyone but superusers and owners.

    The catalog functions that we revoke in our own databases are still public there, so any login could fill
    the server's lock table and its disk.
    """
    for (name,) in open_databases(conn):
        if name in names:
            _try(conn, sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))


def open_databases(conn: Connection) -> list[tuple[str]]:
    """Databases where PUBLIC may connect or create temporary tables."""
    return conn.execute(
        """
        select d.datname
        from pg_database as d
        where d.datallowconn
          and exists (
              select
              from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) as a
              where a.grantee = 0 and a.privilege_type in ('CONNECT', 'TEMPORARY')
          )
        order by d.datname
        """
    ).fetchall()


def _alter(conn: Connection, login: str, what: sql.Composed) -> None:
    _try(conn, sql.SQL("alter role {} {}").format(sql.Identifier(login), what))


def _try(conn: Connection, statement: sql.Composed) -> None:
    """Run a statement that the administrator of a managed server may lack the privilege for; ignore that."""
    with contextlib.suppress(errors.InsufficientPrivilege, errors.InvalidCatalogName), conn.transaction():
        conn.execute(statement)
