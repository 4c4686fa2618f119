"""What a login may use of the server, so that the weakest cannot take what the others need.

Whatever a login can open, fill or hold is bounded where the login itself cannot undo it: by its role, or by
settings that only a superuser may change.  A number that somebody else has set for a role stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from psycopg import errors, sql

from cli.database.catalog import Connection

STRATEGY_CONNECTIONS = 10
"""A pool of 4, or of 8 in PgBouncer, the listener, and one that the server has not yet noticed to be gone."""
WORKER_CONNECTIONS = 24
SETTINGS = {
    "temp_file_limit": "64MB",  # a large sort must not fill the disk
    "log_min_messages": "fatal",  # nor RAISE LOG the server's log; a strategy's process has a log of its own
    "log_min_error_statement": "panic",
    "statement_timeout": "30s",  # a default: the login may change it
}
"""For each strategy. All but the last need a superuser; `aegis doctor` names where they are missing."""
RESERVED_FOR = ("aegis_operator", "aegis_feed", "aegis_engine", "aegis_executor")
"""Who gets a connection when only the reserved ones are left: all but strategies and mere viewers."""
TEMPLATES = ("postgres", "template1")


def limit_logins(conn: Connection) -> None:
    """Bound the connections of every worker and strategy, and what a strategy may fill."""
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
    """Let the desk and the core workers use the reserved connections, where the server knows such."""
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
    """Keep everybody but superusers out of databases where our logins have nothing to do.

    There no function is taken from the public: any login could fill the server's lock table and its disk.
    """
    for (name,) in open_databases(conn):
        if name in names:
            _try(conn, sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))


def open_databases(conn: Connection) -> list[tuple[str]]:
    """Databases that everybody may connect to."""
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
    """Do what the administrator of a managed server may not be allowed to."""
    with contextlib.suppress(errors.InsufficientPrivilege, errors.InvalidCatalogName), conn.transaction():
        conn.execute(statement)
