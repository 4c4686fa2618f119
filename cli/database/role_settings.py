"""The settings that each of our logins has by its role, so that no server's defaults reach a rule.

By role and not by role in a database: it beats what is set for a database as well, holds in every database
of the server, and a copy of a database needs nothing.
"""

from collections.abc import Iterable

from psycopg import sql

from cli.database.catalog import Connection
from workers.runtime import session

DESK = "aegis_desk"


def statements(conn: Connection, logins: Iterable[str]) -> list[sql.Composed]:
    """What each login lacks of the settings every session of ours has: by role, so in every database."""
    conn.execute("do $$ begin end $$")  # loads plpgsql, so that its settings are known
    pinned = conn.execute(
        session.pins("%s", "%s").encode(), [list(session.SETTINGS), list(session.SETTINGS.values())]
    ).fetchall()
    there = {
        login: {item.partition("=")[0].lower(): item.partition("=")[2] for item in settings}
        for login, settings in conn.execute(
            """
            select r.rolname, s.setconfig
            from pg_db_role_setting as s join pg_roles as r on r.oid = s.setrole
            where s.setdatabase = 0 and r.rolname = any(%s)
            """,
            [list(logins)],
        )
    }
    set_it = sql.SQL("alter role {} set {} = {}")
    return [
        set_it.format(sql.Identifier(login), _name(name), sql.Literal(value))
        for login in logins
        for name, value in [*pinned, *(() if login == DESK else session.OF_PROCESSES.items())]
        if there.get(login, {}).get(name.lower()) != value
    ]


def unlike(conn: Connection, login: str) -> list[tuple[str, str, str]]:
    """Which settings of this session are not what its login should have: name, value, what it should be."""
    wanted = {**session.SETTINGS, **({} if login == DESK else session.OF_PROCESSES)}
    # What the driver says of the connection itself is its own.
    pinned = conn.execute(session.pins("%s", "%s").encode(), [list(wanted), list(wanted.values())]).fetchall()
    now = dict(conn.execute("select name, current_setting(name) from pg_settings").fetchall())
    return [
        (name, now[name], value) for name, value in pinned if now[name] != value and name != "client_encoding"
    ]


def _name(name: str) -> sql.Composed:
    """The name of a setting, which may be of an extension: plpgsql.extra_errors."""
    return sql.SQL(".").join(map(sql.Identifier, name.split(".")))
