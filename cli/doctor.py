"""`aegis doctor`: check everything that can be wrong, and say what to do about it.

If the database cannot be reached or is not migrated, the remaining checks are skipped.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import click
import psycopg

from cli.common.context import App, fetch, pass_app
from cli.common.options import json_option
from cli.findings import Finding, Found, fail, ok, warn
from cli.server_checks import check_durable, check_home, check_settings, check_unsent
from workers.runtime.errors import AegisError

OLDEST = 150000  # as server_version_num
PATIENCE = 2.0  # seconds to wait for a notification to ourselves
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@json_option
@pass_app
def doctor(app: App) -> None:
    """Check everything and say what to do; the exit status is 1 when something is broken.

    \b
    Examples:
      aegis doctor
      aegis doctor --json | jq '.[] | select(.state != "ok")'
    """
    found: list[tuple[str, Finding]] = []
    for name, check in CHECKS.items():
        results = _made(check, app)
        found += [(name, result) for result in results]
        if name in NEEDED and any(result.state == "fail" for result in results) and not _has_door(app):
            break
    if app.out.json:
        app.out.table([{"check": name, **vars(finding)} for name, finding in found])
    else:
        for name, finding in found:
            _tell(name, finding)
    if any(finding.state == "fail" for _, finding in found):
        sys.exit(1)


def _made(check: Callable[[App], Found], app: App) -> list[Finding]:
    """Run a check; if the check itself fails, that is a finding too."""
    try:
        return list(check(app))
    except AegisError as error:
        return [fail(error.message, error.hint or "See aegis logs.")]
    except (psycopg.Error, OSError) as error:
        return [fail(str(error).strip(), "See aegis logs.")]


def _has_door(app: App) -> bool:
    """Whether the desk can connect to a migrated database."""
    try:
        app.desk.execute("select 1")
    except AegisError:
        return False
    return True


def _tell(name: str, finding: Finding) -> None:
    state = click.style(f"{finding.state:<5}", fg=COLOURS[finding.state])
    click.echo(f"{state} {name:<11} {finding.what}")
    if finding.todo and finding.state != "ok":
        click.echo(f"{'':<17} {click.style('do', fg='cyan')}: {finding.todo}")


def check_binaries(app: App) -> Found:
    from cli.database.binaries import find_binaries

    binaries = find_binaries(app.settings)
    yield ok(f"PostgreSQL {binaries.version} in {binaries.bin}")


def check_secrets(app: App) -> Found:
    """Check that only their owner may read the passwords."""
    directory = app.settings.secrets_dir
    if not directory.is_dir():
        yield fail(f"there is no {directory}", "aegis up, or aegis db migrate, makes it.")
        return
    open_to_others = [path for path in (directory, *directory.iterdir()) if path.stat().st_mode & 0o077]
    for path in open_to_others:
        yield fail(f"others may read {path}", f"chmod go= {path}")
    if not open_to_others:
        yield ok(f"only their owner may read {directory}")


def check_server(app: App) -> Found:
    with app.database.admin() as conn:
        where = "external" if app.database.external else f"embedded, {app.database.directory}"
        version = conn.info.server_version
        if version < OLDEST:
            yield fail(
                f"the server is {version // 10000}", f"PostgreSQL {OLDEST // 10000} is the oldest we use."
            )
        else:
            yield ok(f"PostgreSQL {conn.info.parameter_status('server_version')} answers ({where})")


def check_migrated(app: App) -> Found:
    from cli.database.migrate import status

    with app.database.admin() as conn:
        compared = status(conn)
    if compared.state.kind is None:
        yield fail(f"{app.database.name} is not migrated", "aegis up, or aegis db migrate")
    elif not compared.current:
        pending = ", ".join(compared.pending) or "sql/ differs"
        yield fail(f"{app.database.name} is not what the code says: {pending}", "aegis db migrate")
    else:
        yield ok(f"{app.database.name} ({compared.state.kind}) is what the code says")


def check_clock(app: App) -> Found:
    """Compare our clock with the database's, which decides: deadlines pass between the two."""
    with app.database.admin() as conn:
        (row,) = fetch(conn, "select extract(epoch from clock_timestamp())::float8 - %s as off", [_now()])
    off = abs(row["off"])
    if off > 1:
        yield fail(f"the clocks differ by {off:.1f} s", "Synchronize them: chrony, or systemd-timesyncd.")
    else:
        yield ok(f"this machine and the database agree within {off * 1000:.0f} ms")


def _now() -> float:
    from datetime import UTC, datetime

    return datetime.now(UTC).timestamp()


def check_open(app: App) -> Found:
    """Find prepared transactions and those older than a minute, which delay seals, cleaning and halts."""
    with app.database.admin() as conn:
        rows = fetch(conn, OLD_TRANSACTIONS)
        prepared = fetch(
            conn, "select gid, owner, database, prepared from pg_prepared_xacts order by prepared"
        )
        (allowed,) = fetch(conn, "select current_setting('max_prepared_transactions')::integer as number")
    for row in prepared:
        yield warn(
            f"prepared transaction {row['gid']!r} of {row['owner']} in {row['database']} is open"
            f" since {row['prepared'].astimezone():%Y-%m-%d %H:%M}",
            "Its owner or a superuser ends it, in that database: rollback prepared 'NAME'",
        )
    for row in rows:
        yield warn(
            f"session {row['pid']} of {row['login']} in {row['database']} is in a transaction"
            f" since {row['since'].astimezone():%Y-%m-%d %H:%M:%S}",
            f"select pg_terminate_backend({row['pid']}), as a superuser",
        )
    if allowed["number"] > 0:
        yield warn(
            f"the server keeps up to {allowed['number']} prepared transactions, which no halt can end",
            "Set max_prepared_transactions to 0 if nothing else on this server needs them.",
        )
    elif not rows:
        yield ok("no transaction is older than a minute")


OLD_TRANSACTIONS = """
select pid, usename as login, datname as database, xact_start as since
from pg_stat_activity
where backend_type = 'client backend' and xact_start < clock_timestamp() - interval '1 min'
order by xact_start
"""


def check_listen(app: App) -> Found:
    """Check that a notification to ourselves arrives; without it, work waits for the next poll."""
    from secrets import token_hex

    channel = f"aegis_doctor_{token_hex(4)}"
    with app.database.desk() as conn:
        conn.execute(f"listen {channel}".encode())
        conn.execute(f"notify {channel}".encode())
        heard = list(conn.notifies(timeout=PATIENCE, stop_after=1))
    if heard:
        yield ok("a notification to ourselves arrived")
    else:
        yield fail(
            "a notification to ourselves did not arrive",
            "AEGIS_DATABASE_URL must lead to PostgreSQL itself; a pooler belongs in AEGIS_POOLED_URL.",
        )


def check_pooler(app: App) -> Found:
    from cli.database.connect import DESK
    from cli.database.secrets import password_of

    if app.settings.pooled_url is None:
        yield ok("no pooler is used")
        return
    password = password_of(DESK, app.settings.secrets_dir)
    with psycopg.connect(app.database.url(pooled=True), password=password, prepare_threshold=None) as conn:
        conn.execute("select 1")
    yield ok("the pooler answers")


def check_hints(app: App) -> Found:
    from cli.exhaustion import check_hints

    return check_hints(app)


def check_connections(app: App) -> Found:
    from cli.exhaustion import check_connections

    return check_connections(app)


def check_bounds(app: App) -> Found:
    from cli.exhaustion import check_bounds

    return check_bounds(app)


def check_mode(app: App) -> Found:
    (row,) = fetch(app.desk, "select mode, reason from system_mode")
    if row["mode"] == "NORMAL":
        yield ok("NORMAL")
    else:
        yield warn(f"{row['mode']}: {row['reason']}", 'aegis resume "why", when the reason is gone')


def check_code(app: App) -> Found:
    """Check the override code, and that the server keeps it out of its log."""
    rows = fetch(app.desk, "select * from override_code")
    if not rows:
        yield warn("no override code is set, so nobody can leave HALT", "aegis set-code")
    for row in rows:
        if row["locked_until"]:
            yield warn(
                f"the override code is locked until {row['locked_until'].astimezone():%H:%M:%S}",
                "Five wrong ones in a row were tried: select * from override_attempts;",
            )
        if row["rolled_back"]:
            yield warn(
                f"{row['rolled_back']} of {row['tries']} tries of the override code were rolled back",
                "Somebody with the desk's password may be guessing: change that, then the code.",
            )
        if not row["is_slow"]:
            yield warn(
                "the override code was set by an older version and is quick to guess", "aegis set-code"
            )
    (log,) = fetch(app.desk, "select current_setting('log_min_error_statement') as least")
    if log["least"] != "panic":
        yield warn(
            "the server may write what the desk types into its log, codes as well",
            "As a superuser: alter role aegis_desk set log_min_error_statement = 'panic';",
        )
    elif rows and not rows[0]["locked_until"]:
        yield ok(f"a code is set, {rows[0]['wrong_in_a_row']} wrong ones since the last right one")


def check_workers(app: App) -> Found:
    from workers.runtime.registry import CORE

    rows = fetch(app.desk, "select name, state, is_alive from workers where is_alive or is_hung")
    alive = {row["name"] for row in rows}
    wanted = {"supervisor", *CORE}
    wanted |= {f"strategy.{r['strategy']}" for r in fetch(app.desk, RUNNING_STRATEGIES)}
    if not alive:
        yield warn("no worker runs, so nothing is traded", "aegis up")
        return
    for name in sorted(wanted - alive):
        yield fail(f"{name} does not run", f"aegis logs {name}")
    for row in rows:
        if row["state"] == "degraded":
            yield warn(f"{row['name']} hears no notifications and polls", f"aegis logs {row['name']}")
    hung = sum(not row["is_alive"] for row in rows)
    if hung:
        yield fail(f"{hung} of {len(rows)} workers run but send no heartbeat", "see health, below")
    elif wanted <= alive:
        yield ok(f"{len(alive)} workers are alive")


def check_health(app: App) -> Found:
    """Check the heartbeats of all processes, and that the database takes writes."""
    from cli.common.health import HEALTH, health_line

    (now,) = fetch(app.desk, "select clock_timestamp() as at")
    rows = [row for row in fetch(app.desk, HEALTH) if not row["subject"].startswith("feed ")]
    for row in rows:
        kind, _, name = row["subject"].partition(" ")
        make = fail if row["state"] == "fail" else warn
        yield make(health_line(row, now["at"]), WHAT_TO_DO.get(kind, f"aegis logs {name or kind}"))
    if not rows:
        yield ok("all processes send heartbeats, and the database accepts writes")


WHAT_TO_DO = {
    "database": "aegis logs supervisor; the server's log says what it lacks: space, a setting, a primary",
    "workers": "aegis up",
    "strategy": "it starts by itself when there is room; aegis strategy list",
}
RUNNING_STRATEGIES = "select strategy from strategies where status = 'RUNNING'"


def check_strategies(app: App) -> Found:
    """Check that strategies run under another account: under ours they could read every password."""
    rows = fetch(app.desk, "select name, pid, host from workers where is_alive and login ^@ 'aegis_s_'")
    here = [row for row in rows if row["host"] == socket.gethostname()]
    ours = [row["name"] for row in here if _account_of(row["pid"]) == 0]
    if ours:
        yield warn(
            f"{', '.join(ours)} run as root",
            "Install Aegis where the account nobody can read it: /opt/aegis, not a home directory.",
        )
    elif here and all(_account_of(row["pid"]) == _account_of("self") for row in here):
        yield warn(
            "strategies run under this account and could read its secrets",
            "That is how it is without root; let root run aegis up when you do not trust their code.",
        )
    else:
        yield ok(f"{len(here)} run under an account of their own" if here else "none runs here")


def _account_of(process: int | str) -> int | None:
    try:
        return Path(f"/proc/{process}").stat().st_uid
    except OSError:
        return None


def check_feeds(app: App) -> Found:
    rows = fetch(app.desk, "select feed, status, detail, now() - last_heard_at as silence from feeds")
    if not rows:
        yield warn("no feed has ever brought a price", "aegis up")
    for row in rows:
        if row["status"] == "CONNECTED" and row["silence"].total_seconds() > 10:
            yield fail(f"{row['feed']} has been silent for {row['silence']}", "aegis logs price_sync")
        elif row["status"] == "CONNECTED":
            yield ok(f"{row['feed']} is connected: {row['detail']}")
        else:
            yield warn(f"{row['feed']} is {row['status']}: {row['detail']}", "aegis up, if it should run")


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


CHECKS: dict[str, Callable[[App], Found]] = {
    "binaries": check_binaries,
    "server": check_server,
    "migrated": check_migrated,
    "secrets": check_secrets,
    "durable": check_durable,
    "settings": check_settings,
    "home": check_home,
    "clock": check_clock,
    "open": check_open,
    "listen": check_listen,
    "pooler": check_pooler,
    "hints": check_hints,
    "connections": check_connections,
    "bounds": check_bounds,
    "mode": check_mode,
    "code": check_code,
    "workers": check_workers,
    "health": check_health,
    "strategies": check_strategies,
    "feeds": check_feeds,
    "unsent": check_unsent,
    "laws": check_laws,
    "incidents": check_incidents,
}
NEEDED = ("server", "migrated")
