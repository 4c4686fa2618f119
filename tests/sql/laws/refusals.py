"""How a call is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from tests.sql.laws.stations import Connection
from workers.runtime.errors import Refused


def refuses_truncate(conn: Connection, table: str) -> bool:
    """Whether TRUNCATE is refused by this table itself, not only by one that CASCADE reaches."""
    try:
        conn.execute(f"truncate {table} cascade".encode())
    except Refused as refused:
        return refused.sqlstate == "TRL02" and f"TRUNCATE of {table} is refused" in refused.message
    return False


def refusal(call: Callable[[], Any]) -> str | None:
    """Return the SQLSTATE with which a call is refused, or None."""
    try:
        call()
    except Refused as refused:
        return refused.sqlstate
    except psycopg.DatabaseError as error:
        return error.sqlstate
    return None
