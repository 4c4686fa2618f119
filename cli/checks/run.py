"""Run all checks in order.

If the database cannot be reached or is not migrated, the remaining checks are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg

from cli.checks import access, database, exhaustion, processes, server, sessions, trading
from cli.checks.findings import Finding, Found, fail
from cli.common.context import App
from workers.runtime.errors import AegisError

CHECKS: dict[str, Callable[[App], Found]] = {
    "binaries": server.check_binaries,
    "server": server.check_server,
    "migrated": database.check_migrated,
    "secrets": access.check_secrets,
    "durable": server.check_durable,
    "settings": server.check_settings,
    "home": database.check_home,
    "clock": server.check_clock,
    "open": sessions.check_open,
    "listen": sessions.check_listen,
    "pooler": sessions.check_pooler,
    "hints": exhaustion.check_hints,
    "connections": exhaustion.check_connections,
    "bounds": exhaustion.check_bounds,
    "mode": trading.check_mode,
    "code": access.check_code,
    "workers": processes.check_workers,
    "health": processes.check_health,
    "strategies": processes.check_strategies,
    "feeds": processes.check_feeds,
    "unsent": trading.check_unsent,
    "laws": trading.check_laws,
    "incidents": trading.check_incidents,
}
NEEDED = ("server", "migrated")


def run_checks(app: App) -> Iterator[tuple[str, Finding]]:
    """Yield the name of each check with each of its findings."""
    for name, check in CHECKS.items():
        findings = _run(check, app)
        yield from ((name, finding) for finding in findings)
        if name in NEEDED and any(finding.state == "fail" for finding in findings) and not _has_door(app):
            return


def _run(check: Callable[[App], Found], app: App) -> list[Finding]:
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
