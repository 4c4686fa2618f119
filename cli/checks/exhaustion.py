"""Checks for what a login could exhaust: notifications, connections, disk, log."""

from __future__ import annotations

from cli.checks.findings import Found, ok, warn
from cli.common.context import App, fetch
from cli.database import limits
from cli.database.catalog import Connection

CORE_CONNECTIONS = 50  # the most that the core and the desk open in normal operation
DEFAULT_PAGES = 1048576
ROOM = 0.25  # as in bus.can_notify
EMBEDDED = "aegis db migrate sets it."


def check_hints(app: App) -> Found:
    """Check the notification queue: a listener that does not read fills it, and then nobody can notify."""
    with app.database.admin() as conn:
        (row,) = fetch(
            conn,
            """
            select pg_notification_queue_usage() as used,
                   coalesce(current_setting('max_notify_queue_pages', true)::integer, %s) as pages
            """,
            [DEFAULT_PAGES],
        )
        holders = _oldest_transactions(conn) if row["used"] >= ROOM else []
    if row["pages"] < DEFAULT_PAGES:
        yield warn(
            f"max_notify_queue_pages is {row['pages']}: a few messages fill the notification queue",
            f"alter system set max_notify_queue_pages = {DEFAULT_PAGES}; then restart the server",
        )
    if row["used"] >= ROOM:
        yield warn(
            f"the notification queue is {row['used']:.0%} full, so workers only poll",
            f"End the listener that does not read: {', '.join(holders) or 'some session of this server'}.",
        )
    else:
        yield ok(f"the notification queue is {row['used']:.0%} full")


def _oldest_transactions(conn: Connection) -> list[str]:
    """The oldest transactions, which may block the queue: a listener in a transaction does not read it."""
    return [
        f"{row['usename']} (pid {row['pid']}, {row['state']}, since {row['age']:.0f} s)"
        for row in fetch(
            conn,
            """
            select usename, pid, state, extract(epoch from clock_timestamp() - xact_start)::float8 as age
            from pg_stat_activity
            where xact_start is not null and pid <> pg_backend_pid() and backend_type = 'client backend'
            order by xact_start
            limit 3
            """,
        )
    ]


def check_connections(app: App) -> Found:
    """Check that all strategies together leave enough connections for the desk and the core."""
    with app.database.admin() as conn:
        (row,) = fetch(
            conn,
            """
            select current_setting('max_connections')::integer as most,
                   current_setting('superuser_reserved_connections')::integer as superuser,
                   coalesce(current_setting('reserved_connections', true)::integer, 0) as reserved,
                   (
                       select coalesce(sum(rolconnlimit), 0) from pg_roles
                       where rolname ^@ 'aegis_s_' and rolconnlimit > 0
                   )::integer as strategies,
                   array(
                       select rolname from pg_roles
                       where rolname ^@ 'aegis_s_' and rolconnlimit = -1 order by rolname
                   )::text[] as unlimited
            """,
        )
    if row["unlimited"]:
        yield warn(
            f"{', '.join(row['unlimited'])} may open any number of connections",
            f"alter role NAME connection limit {limits.STRATEGY_CONNECTIONS}; {EMBEDDED}",
        )
    left = row["most"] - row["superuser"] - row["strategies"]
    if left < CORE_CONNECTIONS and row["reserved"] < CORE_CONNECTIONS:
        yield warn(
            f"max_connections is {row['most']}; strategies may take {row['strategies']} of them",
            f"Set max_connections = {row['most'] + CORE_CONNECTIONS - left} and, from PostgreSQL 16 on,"
            " reserved_connections = 50; both need a restart.",
        )
    elif not row["unlimited"]:
        kept = max(left, row["reserved"])
        yield ok(f"the desk and the core have {kept} connections that no strategy can take")


def check_bounds(app: App) -> Found:
    """Check that no strategy can fill the disk or the log, or enter a database that is open to everyone."""
    with app.database.admin() as conn:
        open_to_all = [name for (name,) in limits.open_databases(conn)]
        unbounded = fetch(
            conn,
            """
            select r.rolname, array_agg(n.name order by n.name)::text[] as missing
            from pg_roles as r
            cross join unnest(%s::text[]) as n (name)
            left join pg_db_role_setting as s on s.setrole = r.oid and s.setdatabase = 0
            where r.rolname ^@ 'aegis_s_'
              and not exists (select from unnest(s.setconfig) as c where c ^@ (n.name || '='))
            group by r.rolname
            """,
            [[name for name in limits.SETTINGS if name != "statement_timeout"]],
        )
    for row in unbounded:
        yield warn(
            f"{row['rolname']} can fill the disk: {', '.join(row['missing'])} not set",
            f"A superuser runs aegis db migrate, or alter role {row['rolname']} set ...",
        )
    if open_to_all:
        yield warn(
            f"every login may connect to {', '.join(open_to_all)} and take locks and space there",
            "A superuser runs: revoke all on database NAME from public;",
        )
    if not unbounded and not open_to_all:
        yield ok("no strategy can fill the disk, and no database is open to every login")
