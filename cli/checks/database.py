"""Checks of the database: up to date with the code, and where it was started."""

from __future__ import annotations

from cli.checks.findings import Found, fail, ok, warn
from cli.common.context import App, fetch
from cli.database.migrate import status


def check_migrated(app: App) -> Found:
    with app.database.admin() as conn:
        compared = status(conn)
    if compared.state.kind is None:
        yield fail(f"{app.database.name} is not migrated", "aegis up, or aegis db migrate")
    elif not compared.current:
        pending = ", ".join(compared.pending) or "sql/ differs"
        yield fail(f"{app.database.name} is not up to date with the code: {pending}", "aegis db migrate")
    else:
        yield ok(f"{app.database.name} ({compared.state.kind}) is up to date with the code")


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
