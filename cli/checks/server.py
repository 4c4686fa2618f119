"""Checks of the server: its programs, version, durability, settings and clock."""

from __future__ import annotations

from datetime import UTC, datetime

from cli.checks.findings import Found, fail, ok
from cli.common.context import App, fetch
from cli.database import logins, role_settings
from cli.database.binaries import find_binaries

OLDEST = 150000  # as server_version_num
# synchronous_commit is not checked: any session may turn it off, and transactions about money turn it on.
DURABLE = """
select name from pg_settings where name in ('fsync', 'full_page_writes') and setting = 'off' order by name
"""
SETTING_ADVICE = "aegis db migrate sets it, unless alter role ... in database ... overrides it."


def check_binaries(app: App) -> Found:
    binaries = find_binaries(app.settings)
    yield ok(f"PostgreSQL {binaries.version} in {binaries.bin}")


def check_server(app: App) -> Found:
    with app.database.admin() as conn:
        where = "external" if app.database.external else f"embedded, {app.database.directory}"
        version = conn.info.server_version
        if version < OLDEST:
            yield fail(
                f"the server is PostgreSQL {version // 10000}",
                f"PostgreSQL {OLDEST // 10000} or newer is needed.",
            )
        else:
            yield ok(f"PostgreSQL {conn.info.parameter_status('server_version')} answers ({where})")


def check_durable(app: App) -> Found:
    """Check that commits survive a crash: a lost order would be sent again."""
    with app.database.admin() as conn:
        rows = fetch(conn, DURABLE)
    for row in rows:
        yield fail(
            f"{row['name']} is off: a crash may lose or corrupt committed data",
            f"Set {row['name']} = on in the server's configuration; only a scratch server may do without.",
        )
    if not rows:
        yield ok("committed data survives a crash")


def check_settings(app: App) -> Found:
    """Check each login's settings: with others it would be slow, or interpret values differently."""
    differing = 0
    for login in logins.LOGINS:
        with app.database.connect(login) as conn:
            wrong = role_settings.unlike(conn, login)
        for name, value, wanted in wrong:
            differing += 1
            yield fail(f"{login} has {name} = '{value}', not '{wanted}'", SETTING_ADVICE)
    if not differing:
        yield ok("each login has the settings it needs")


def check_clock(app: App) -> Found:
    """Compare our clock with the database's, which decides: deadlines pass between the two."""
    with app.database.admin() as conn:
        (row,) = fetch(
            conn,
            "select extract(epoch from clock_timestamp())::float8 - %s as off",
            [datetime.now(UTC).timestamp()],
        )
    off = abs(row["off"])
    if off > 1:
        yield fail(f"the clocks differ by {off:.1f} s", "Synchronize them: chrony, or systemd-timesyncd.")
    else:
        yield ok(f"the clocks of this machine and the database agree within {off * 1000:.0f} ms")
