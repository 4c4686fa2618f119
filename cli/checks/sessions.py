"""Checks of sessions: open transactions, notifications and the pooler."""

from __future__ import annotations

from secrets import token_hex

import psycopg

from cli.checks.findings import Found, fail, ok, warn
from cli.common.context import App, fetch
from cli.database.connect import DESK
from cli.database.secrets import password_of

PATIENCE = 2.0  # seconds to wait for a notification to ourselves
OLD_TRANSACTIONS = """
select pid, usename as login, datname as database, xact_start as since
from pg_stat_activity
where backend_type = 'client backend' and xact_start < clock_timestamp() - interval '1 min'
order by xact_start
"""


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
            f"the server allows up to {allowed['number']} prepared transactions, which a halt cannot end",
            "Set max_prepared_transactions to 0 if nothing else on this server needs them.",
        )
    elif not rows:
        yield ok("no transaction is older than a minute")


def check_listen(app: App) -> Found:
    """Check that a notification to ourselves arrives; without it, work waits for the next poll."""
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
            "Set AEGIS_DATABASE_URL to PostgreSQL itself, and AEGIS_POOLED_URL to the pooler.",
        )


def check_pooler(app: App) -> Found:
    if app.settings.pooled_url is None:
        yield ok("no pooler is used")
        return
    password = password_of(DESK, app.settings.secrets_dir)
    with psycopg.connect(app.database.url(pooled=True), password=password, prepare_threshold=None) as conn:
        conn.execute("select 1")
    yield ok("the pooler answers")
