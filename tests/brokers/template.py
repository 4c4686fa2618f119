"""An adapter to copy: change what is said to the broker, keep what is concluded from the answers.

It is complete and works against the exchange in memory of this folder; for a real broker put its HTTP client
in the exchange's place, and its own codes into REFUSALS and BUSY.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.brokers.exchange import Exchange
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

REFUSALS = {"unknown_symbol", "not_open", "not_enough_cash"}
"""Codes after which the broker certainly does not have the order.  A code that is not here is Unknown."""
BUSY = {"too_many_requests"}
"""The same, where the next attempt may succeed."""


class TemplateBroker:
    """Talks to one broker."""

    can = Capabilities(replace=True, client_order_ids=True, execution_ids=True, streams=False)

    def __init__(self, db: Queries, exchange: Exchange | None = None) -> None:
        self.exchange = exchange or Exchange()

    async def place(self, order: Order) -> Answer:
        return await self._send(
            "place",
            client_id=order.client_order_id,
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            quantity=str(order.quantity),
            price=str(order.limit_price),
        )

    async def replace(self, amend: Amend) -> Answer:
        return await self._send(
            "replace",
            parent=amend.parent_client_order_id,
            client_id=amend.client_order_id,
            price=str(amend.limit_price),
        )

    async def _send(self, call: str, **fields: str) -> Answer:
        """Send once, never again: what is not certain is Unknown, whatever went wrong."""
        try:
            reply = await self.exchange.request(call, **fields)
            answer = json.loads(reply.text)
            if reply.status == 201:
                return Accepted(answer["id"], Decimal(answer["quantity"]))
            if 400 <= reply.status < 500 and answer["error"] in REFUSALS | BUSY:
                return Refusal(answer["error"], answer["message"], transient=answer["error"] in BUSY)
            return Unknown(f"status {reply.status}: {reply.text}")
        except Exception as error:
            return Unknown(f"{type(error).__name__}: {error}")

    async def cancel(self, ref: OrderRef) -> OrderState | None:
        return await self._state("cancel", ref)

    async def order_state(self, ref: OrderRef) -> OrderState | None:
        return await self._state("order", ref)

    async def _state(self, call: str, ref: OrderRef) -> OrderState | None:
        """None only if the broker says so; all else that is no state raises."""
        reply = await self.exchange.request(call, key=ref.client_order_id)
        answer = json.loads(reply.text)
        if reply.status == 404 and answer["error"] == "no_such_order":
            return None
        if reply.status != 200:
            raise ConnectionError(f"status {reply.status}: {reply.text}")
        return OrderState(answer["id"], answer["status"], Decimal(answer["filled"]))

    async def refresh(self) -> None:
        """Do nothing: fills_since asks the broker itself."""

    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        answer = await self._read("fills", account=account, after=cursor or "0")
        return [
            Fill(
                broker_fill_id=fill["id"],
                broker_order_id=fill["order"],
                client_order_id=fill["client_id"],
                quantity=Decimal(fill["quantity"]),
                price=Decimal(fill["price"]),
                fee=Decimal(fill["fee"]),
                tax=Decimal(fill["tax"]),
                filled_at=datetime.fromisoformat(fill["at"]),
                cursor=fill["seq"],
            )
            for fill in answer
        ]

    async def snapshot(self, account: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await self._read("account", account=account)
        return {"holdings": answer["holdings"], "cash": answer["cash"]}

    async def _read(self, call: str, **fields: str) -> Any:
        """Raise rather than return nothing: an empty list means that there is nothing."""
        reply = await self.exchange.request(call, **fields)
        if reply.status != 200:
            raise ConnectionError(f"status {reply.status}: {reply.text}")
        return json.loads(reply.text)


ADAPTER = TemplateBroker
