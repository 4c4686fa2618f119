"""Checks of what opens doors: the passwords of the logins, and the override code."""

from __future__ import annotations

from cli.checks.findings import Found, fail, ok, warn
from cli.common.context import App, fetch


def check_secrets(app: App) -> Found:
    """Check that only their owner may read the passwords."""
    directory = app.settings.secrets_dir
    if not directory.is_dir():
        yield fail(f"there is no {directory}", "aegis up or aegis db migrate creates it.")
        return
    open_to_others = [path for path in (directory, *directory.iterdir()) if path.stat().st_mode & 0o077]
    for path in open_to_others:
        yield fail(f"others may read {path}", f"chmod go= {path}")
    if not open_to_others:
        yield ok(f"only its owner may read {directory}")


def check_code(app: App) -> Found:
    """Check the override code, and that the server keeps it out of its log."""
    rows = fetch(app.desk, "select * from override_code")
    if not rows:
        yield warn("no override code is set, so nobody can leave HALT", "aegis set-code")
    for row in rows:
        if row["locked_until"]:
            yield warn(
                f"the override code is locked until {row['locked_until'].astimezone():%H:%M:%S}",
                "Five wrong codes in a row were tried: select * from override_attempts;",
            )
        if row["rolled_back"]:
            yield warn(
                f"{row['rolled_back']} of {row['tries']} attempts to use the override code were rolled back",
                "Somebody with the desk's password may be guessing: change that, then the code.",
            )
        if not row["is_slow"]:
            yield warn(
                "the override code was set by an older version and is quick to guess", "aegis set-code"
            )
    (log,) = fetch(app.desk, "select current_setting('log_min_error_statement') as least")
    if log["least"] != "panic":
        yield warn(
            "the server may write what the desk types into its log, including codes",
            "As a superuser: alter role aegis_desk set log_min_error_statement = 'panic';",
        )
    elif rows and not rows[0]["locked_until"]:
        yield ok(f"a code is set; {rows[0]['wrong_in_a_row']} wrong attempts since the last right one")
