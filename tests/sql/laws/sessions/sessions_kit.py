"""Sessions that leave a transaction open, and what is done about them."""

import psycopg
import pytest
from psycopg.types.json import Jsonb

DESK = ("aegis_operator", "aegis_viewer")
LIMITS = ("idle_in_transaction", "statement", "transaction", "idle_in_the_way", "in_the_way")


def watch(kit, unrecorded=()):
    return kit.call("risk", "select watch_sessions(%s::jsonb)", Jsonb(list(unrecorded)))


def limit(kit, *groups, **limits):
    """Set other limits for some groups, so that no test has to wait for the real ones."""
    for name, value in limits.items():
        query = f"update bus.session_limits set {name} = %s where role_group = any(%s)"
        kit.db.execute(query.encode(), [value, list(groups)])


def left_open(kit, station, *statements):
    conn = kit.connect(station)
    conn.execute("begin")
    for statement in statements:
        conn.execute(statement)
    conn.pid = conn.info.backend_pid  # a broken connection no longer knows it
    return conn


def is_ended(kit, conn):
    kit.wait_until("select count(*) = 0 from pg_stat_activity where pid = %s", conn.pid)
    with pytest.raises(psycopg.OperationalError):
        conn.execute("select 1")
    return True


def open_incident(kit, kind):
    return kit.look("select subject, detail from risk.incidents where kind = %s and closed_at is null", kind)
