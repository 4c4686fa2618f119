"""Checks of the processes: workers, heartbeats, strategies and feeds."""

from __future__ import annotations

import socket
from pathlib import Path

from cli.checks.findings import Found, fail, ok, warn
from cli.common.context import App, fetch
from cli.common.health import HEALTH, health_line
from workers.runtime.registry import CORE

RUNNING_STRATEGIES = "select strategy from strategies where status = 'RUNNING'"
WHAT_TO_DO = {
    "database": "aegis logs supervisor; the server's log says why: no space, a setting, or not the primary",
    "workers": "aegis up",
    "strategy": "it starts by itself when there is capacity; aegis strategy list",
}


def check_workers(app: App) -> Found:
    rows = fetch(app.desk, "select name, state, is_alive from workers where is_alive or is_hung")
    alive = {row["name"] for row in rows}
    wanted = {"supervisor", *CORE}
    wanted |= {f"strategy.{r['strategy']}" for r in fetch(app.desk, RUNNING_STRATEGIES)}
    if not alive:
        yield warn("no worker is running, so nothing is traded", "aegis up")
        return
    for name in sorted(wanted - alive):
        yield fail(f"{name} is not running", f"aegis logs {name}")
    for row in rows:
        if row["state"] == "degraded":
            yield warn(f"{row['name']} receives no notifications and polls", f"aegis logs {row['name']}")
    hung = sum(not row["is_alive"] for row in rows)
    if hung:
        yield fail(f"{hung} of {len(rows)} workers run but send no heartbeat", "see health, below")
    elif wanted <= alive:
        yield ok(f"{len(alive)} workers are alive")


def check_health(app: App) -> Found:
    """Check the heartbeats of all processes, and that the database takes writes."""
    (now,) = fetch(app.desk, "select clock_timestamp() as at")
    rows = [row for row in fetch(app.desk, HEALTH) if not row["subject"].startswith("feed ")]
    for row in rows:
        kind, _, name = row["subject"].partition(" ")
        make = fail if row["state"] == "fail" else warn
        yield make(health_line(row, now["at"]), WHAT_TO_DO.get(kind, f"aegis logs {name or kind}"))
    if not rows:
        yield ok("all processes send heartbeats, and the database accepts writes")


def check_strategies(app: App) -> Found:
    """Check that strategies run under another account: under ours they could read every password."""
    rows = fetch(app.desk, "select name, pid, host from workers where is_alive and login ^@ 'aegis_s_'")
    here = [row for row in rows if row["host"] == socket.gethostname()]
    as_root = [row["name"] for row in here if _account_of(row["pid"]) == 0]
    if as_root:
        yield warn(
            f"{', '.join(as_root)} run as root",
            "Install Aegis where the account nobody can read it: /opt/aegis, not a home directory.",
        )
    elif here and all(_account_of(row["pid"]) == _account_of("self") for row in here):
        yield warn(
            "strategies run under this account and could read its secrets",
            "Only root can change accounts: run aegis up as root if you do not trust their code.",
        )
    else:
        yield ok(f"{len(here)} run under an account of their own" if here else "none is running here")


def _account_of(process: int | str) -> int | None:
    try:
        return Path(f"/proc/{process}").stat().st_uid
    except OSError:
        return None


def check_feeds(app: App) -> Found:
    rows = fetch(app.desk, "select feed, status, detail, now() - last_heard_at as silence from feeds")
    if not rows:
        yield warn("no feed has ever delivered a price", "aegis up")
    for row in rows:
        if row["status"] == "CONNECTED" and row["silence"].total_seconds() > 10:
            yield fail(f"{row['feed']} has been silent for {row['silence']}", "aegis logs price_sync")
        elif row["status"] == "CONNECTED":
            yield ok(f"{row['feed']} is connected: {row['detail']}")
        else:
            yield warn(f"{row['feed']} is {row['status']}: {row['detail']}", "aegis up, if it should run")
