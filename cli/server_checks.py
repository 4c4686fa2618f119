"""Checks of `aegis doctor` about the server: durability, settings, identity and orders sent too late."""

from __future__ import annotations

from cli.common.context import App, fetch
from cli.findings import Found, fail, ok, warn


def check_durable(app: App) -> Found:
    """Check that commits survive a crash: a lost order would be sent again."""
    with app.database.admin() as conn:
        rows = fetch(conn, DURABLE)
    for row in rows:
        yield fail(
            f"{row['name']} is off: a crash may lose or tear what has committed",
            f"Set {row['name']} = on in the server's configuration; only a scratch server may do without.",
        )
    if not rows:
        yield ok("what has committed survives a crash")


# synchronous_commit is not checked: any session may turn it off, and transactions about money turn it on.
DURABLE = """
select name from pg_settings where name in ('fsync', 'full_page_writes') and setting = 'off' order by name
"""


def check_settings(app: App) -> Found:
    """Check each login's settings: with others it would be slow, or interpret values differently."""
    from cli.database import logins, role_settings

    differing = 0
    for login in logins.LOGINS:
        with app.database.connect(login) as conn:
            wrong = role_settings.unlike(conn, login)
        for name, value, wanted in wrong:
            differing += 1
            yield fail(f"{login} has {name} = '{value}', not '{wanted}'", SETTING_TODO)
    if not differing:
        yield ok("each login has the settings that it needs, whatever the server's are")


SETTING_TODO = "aegis db migrate sets it; what is set by alter role ... in database ... wins over that."


def check_home(app: App) -> Found:
    """Check that the database is on the server where it was started: a copy elsewhere hands out no work."""
    with app.database.admin() as conn:
        (row,) = fetch(conn, "select run_number, bus.is_home(n) as is_home from bus.instance as n")
    if row["run_number"] == 0:
        yield warn("nothing has been started here yet", "aegis up")
    elif row["is_home"]:
        yield ok("it is on the server where it was started")
    else:
        yield fail("it was started elsewhere, so no work is handed out here", "aegis up, then aegis adopt")


def check_unsent(app: App) -> Found:
    """Check for orders that are claimed and not sent in time: nothing is traded, yet all seems well."""
    (row,) = fetch(app.desk, UNSENT)
    if row["unsent"] > max(3, row["orders"] / 10):
        yield fail(
            f"{row['unsent']} of {row['orders']} orders of the last hour were not sent in time",
            "The server or this machine is too slow: look at their load, and at jit in the check settings.",
        )
    else:
        yield ok(f"{row['unsent']} of {row['orders']} orders of the last hour were not sent in time")


UNSENT = """
select count(*) as orders, count(*) filter (where closed_reason = 'not sent in time') as unsent
from orders
where created_at > clock_timestamp() - interval '1 hour'
"""
