"""Checks of trading: the mode, orders sent too late, the laws and open incidents."""

from __future__ import annotations

from cli.checks.findings import Found, fail, ok, warn
from cli.common.context import App, fetch

UNSENT = """
select count(*) as orders, count(*) filter (where closed_reason = 'not sent in time') as unsent
from orders
where created_at > clock_timestamp() - interval '1 hour'
"""


def check_mode(app: App) -> Found:
    (row,) = fetch(app.desk, "select mode, reason from system_mode")
    if row["mode"] == "NORMAL":
        yield ok("NORMAL")
    else:
        yield warn(f"{row['mode']}: {row['reason']}", 'aegis resume "why", when the reason is gone')


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


def check_laws(app: App) -> Found:
    rows = fetch(app.desk, "select law, violation from law_audit")
    for row in rows:
        yield fail(f"{row['law']}: {row['violation']}", 'aegis halt "law audit", then find out why')
    if not rows:
        yield ok("no row of the database breaks a law")


def check_incidents(app: App) -> Found:
    rows = fetch(
        app.desk, "select incident_id, kind, subject, opened_at from incidents where closed_at is null"
    )
    for row in rows:
        since = f"since {row['opened_at'].astimezone():%Y-%m-%d %H:%M}"
        yield warn(f"{row['kind']} {row['subject']} {since}", "select * from incidents; aegis account check")
    if not rows:
        yield ok("no incident is open")
