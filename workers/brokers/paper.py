"""The paper broker: its matching engine is SQL, and to the workers it is a broker like any other.

So that the code around it runs as in live trading, it is called like a remote broker: it identifies orders by
client_order_id, it numbers its fills, and a connection error is an unknown outcome.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from workers.brokers import (
    Accepted,
    Amend,
    Answer,
    Capabilities,
    Fill,
    Order,
    OrderRef,
    OrderState,
    Refusal,
    Unknown,
)
from workers.runtime.database import Queries

PAGE = 200

PLACE = "select * from api.paper_place($1, $2, $3, $4, $5, $6, $7)"
REPLACE = "select * from api.paper_replace($1, $2, $3)"
MATCH = "select api.paper_match()"
CANCEL = "select * from api.paper_cancel($1)"
STATE = "select * from api.paper_order($1)"
FILLS = "select * from api.paper_fills_since($1, $2, $3)"
SNAPSHOT = "select api.paper_snapshot($1)"


class PaperBroker:
    """Fills orders on paper against the best prices in the database."""

    can = Capabilities(replace=True, client_order_ids=True, execution_ids=True, streams=False)

    def __init__(self, db: Queries) -> None:
        self._db = db

    async def place(self, order: Order) -> Answer:
        try:
            row = await self._db.fetchrow(
                PLACE,
                order.client_order_id,
                order.account,
                order.symbol,
                order.side,
                order.order_type,
                order.quantity,
                order.limit_price,
            )
            if row is None:
                return Refusal("NO_SUCH_SYMBOL", f"the paper broker does not know {order.symbol}")
            if row["status"] == "REJECTED":
                return Refusal("REJECTED", row["message"])
            return Accepted(row["broker_order_id"])
        except Exception as error:
            return _unknown(error)

    async def replace(self, amend: Amend) -> Answer:
        try:
            row = await self._db.fetchrow(
                REPLACE, amend.parent_client_order_id, amend.client_order_id, amend.limit_price
            )
            if row is None:
                return Refusal("NOTHING_OPEN", "there is nothing open to replace")
            return Accepted(row["broker_order_id"], row["quantity"])
        except Exception as error:
            return _unknown(error)

    async def refresh(self) -> None:
        await self._db.execute(MATCH)

    async def cancel(self, ref: OrderRef) -> OrderState | None:
        return _state(await self._db.fetchrow(CANCEL, ref.client_order_id))

    async def order_state(self, ref: OrderRef) -> OrderState | None:
        return _state(await self._db.fetchrow(STATE, ref.client_order_id))

    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        rows = await self._db.fetch(FILLS, account, int(cursor or 0), PAGE)
        return [
            Fill(
                str(row["broker_fill_id"]),
                row["broker_order_id"],
                row["client_order_id"],
                row["quantity"],
                row["price"],
                row["fee"],
                row["tax"],
                row["filled_at"],
                cursor=str(row["broker_fill_id"]),
            )
            for row in rows
        ]

    async def snapshot(self, account: str) -> Mapping[str, Any]:
        text = await self._db.fetchval(SNAPSHOT, account)
        answer: Mapping[str, Any] = json.loads(text, parse_float=str, parse_int=str)
        return answer


def _unknown(error: Exception) -> Unknown:
    """Whatever failed, the order may have been placed."""
    return Unknown(f"{type(error).__name__}: {error}")


def _state(row: Any) -> OrderState | None:
    return None if row is None else OrderState(row["broker_order_id"], row["status"], row["filled_qty"])


ADAPTER = PaperBroker
