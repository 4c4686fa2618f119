"""Rows that direct SQL inserts: valid ones, which a test changes in one column."""

from __future__ import annotations

from typing import Any

from tests.sql.laws.stations import Connection

INTENT_ROW: dict[str, Any] = {
    "account_id": 1,
    "instrument_id": 1,
    "owner": "manual",
    "intent_type": "MANUAL",
    "side": "BUY",
    "reason": "direct",
    "quantity": 1,
    "worst_price": 70_000,
    "status": "NEW",
    "reserved_qty": 0,
    "reserved_cash": 70_000,
    "request": "{}",
}

SELL_ROW: dict[str, Any] = {"side": "SELL", "reserved_qty": 1, "reserved_cash": 0}

ORDER_ROW: dict[str, Any] = {
    "account_id": 1,
    "instrument_id": 1,
    "side": "BUY",
    "status": "SENDING",
    "quantity": 1,
    "limit_price": 70_000,
}


def insert(conn: Connection, table: str, row: dict[str, Any], returning: str) -> Any:
    columns, places = ", ".join(row), ", ".join(["%s"] * len(row))
    query = f"insert into {table} ({columns}) values ({places}) returning {returning}"
    found = conn.execute(query.encode(), list(row.values())).fetchone()
    assert found is not None
    return found[0]
