"""Set session settings on the role of each login, so that no rule depends on the server's defaults.

`alter role ... set` without `in database` overrides the settings of a database, applies in every database of
the server, and needs nothing more when a database is copied.
"""

from collections.abc import Iterable

from psycopg import sql

from cli.database.catalog import Connection
from workers.runtime import session

DESK = "aegis_desk"


def statements(conn: Connection, logins: Iterable[str]) -> list[sql.Composed]:
    """The `alter role` statements for the settings that these logins do not have yet."""
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
    """The settings of this session that differ from what its login should have: name, value, wanted value."""
    wanted = {**session.SETTINGS, **({} if login == DESK else session.OF_PROCESSES)}
    # The driver chooses client_encoding itself, so it is left out.
    pinned = conn.execute(session.pins("%s", "%s").encode(), [list(wanted), list(wanted.values())]).fetchall()
    now = dict(conn.execute("select name, current_setting(name) from pg_settings").fetchall())
    return [
        (name, now[name], value) for name, value in pinned if now[name] != value and name != "client_encoding"
    ]


def _name(name: str) -> sql.Composed:
    """Quote the name of a setting, which may have an extension's prefix: plpgsql.extra_errors."""
    return sql.SQL(".").join(map(sql.Identifier, name.split(".")))
