"""Adapters that break the contract, each in one way that real ones do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.brokers.template import TemplateBroker
from workers.brokers import Accepted, Amend, Answer, Fill, Order, OrderRef, OrderState, Refusal, Unknown


class SaysNothing(TemplateBroker):
    can = None  # type: ignore[assignment]


class SendsTwice(TemplateBroker):
    async def place(self, order: Order) -> Answer:
        await super().place(replace(order, client_order_id=f"{order.client_order_id}-first"))
        return await super().place(order)


class NewIdEachTime(TemplateBroker):
    calls = 0

    async def place(self, order: Order) -> Answer:
        self.calls += 1
        return await super().place(replace(order, client_order_id=f"{order.client_order_id}-{self.calls}"))


class RefusesNothing(TemplateBroker):
    async def place(self, order: Order) -> Answer:
        answer = await super().place(order)
        return Unknown(answer.message) if isinstance(answer, Refusal) else answer


class RaisesFromSend(TemplateBroker):
    async def _send(self, call: str, **fields: str) -> Answer:
        reply = await self.exchange.request(call, **fields)
        if reply.status >= 500:
            raise ConnectionError(reply.text)
        return Accepted(json.loads(reply.text)["id"])


class RefusesOnTimeout(TemplateBroker):
    async def _send(self, call: str, **fields: str) -> Answer:
        answer = await super()._send(call, **fields)
        return Refusal("TIMEOUT", answer.detail) if isinstance(answer, Unknown) else answer


class SendsAgain(TemplateBroker):
    async def _send(self, call: str, **fields: str) -> Answer:
        answer = await super()._send(call, **fields)
        return await super()._send(call, **fields) if isinstance(answer, Unknown) else answer


class ForgetsWhatItDidNotHear(TemplateBroker):
    """Knows only orders whose answer came: its own memory, not the broker's."""

    heard: frozenset[str] = frozenset()

    async def place(self, order: Order) -> Answer:
        answer = await super().place(order)
        if isinstance(answer, Accepted):
            self.heard |= {order.client_order_id}
        return answer

    async def order_state(self, ref: OrderRef) -> OrderState | None:
        return await super().order_state(ref) if ref.client_order_id in self.heard else None


class RaisesForNone(TemplateBroker):
    async def order_state(self, ref: OrderRef) -> OrderState | None:
        state = await super().order_state(ref)
        if state is None:
            raise LookupError("no such order")
        return state


class NoneForFailure(TemplateBroker):
    async def order_state(self, ref: OrderRef) -> OrderState | None:
        try:
            return await super().order_state(ref)
        except Exception:
            return None


class StateInFloats(TemplateBroker):
    async def order_state(self, ref: OrderRef) -> OrderState | None:
        state = await super().order_state(ref)
        return state and replace(state, filled_qty=float(state.filled_qty))  # type: ignore[arg-type]


class AlwaysOpen(TemplateBroker):
    async def order_state(self, ref: OrderRef) -> OrderState | None:
        state = await super().order_state(ref)
        return state and replace(state, status="OPEN")


class CancelsOnlyOnce(TemplateBroker):
    cancelled: frozenset[str] = frozenset()

    async def cancel(self, ref: OrderRef) -> OrderState | None:
        if ref.client_order_id in self.cancelled:
            return None
        self.cancelled |= {ref.client_order_id}
        return await super().cancel(ref)


class CancelForgetsFills(TemplateBroker):
    async def cancel(self, ref: OrderRef) -> OrderState | None:
        state = await super().cancel(ref)
        return state and replace(state, filled_qty=Decimal(0))


class BelievesItsCancel(TemplateBroker):
    async def cancel(self, ref: OrderRef) -> OrderState | None:
        try:
            return await super().cancel(ref)
        except Exception:
            return OrderState(str(ref.broker_order_id), "CANCELLED", Decimal(0))


class AmendsInPlace(TemplateBroker):
    async def replace(self, amend: Amend) -> Answer:
        answer = await super().replace(amend)
        same = amend.parent_broker_order_id
        return replace(answer, broker_order_id=same) if isinstance(answer, Accepted) else answer


class PlacesWhatItCannotReplace(TemplateBroker):
    async def replace(self, amend: Amend) -> Answer:
        answer = await super().replace(amend)
        if not isinstance(answer, Refusal):
            return answer
        return await self._send(
            "place",
            client_id=amend.client_order_id,
            account=amend.account,
            symbol=amend.symbol,
            side=amend.side,
            quantity=str(amend.quantity),
            price=str(amend.limit_price),
        )


class ReplaceNotImplemented(TemplateBroker):
    can = replace(TemplateBroker.can, replace=False)

    async def replace(self, amend: Amend) -> Answer:
        raise NotImplementedError


class CancelsWhatItCannotReplace(TemplateBroker):
    can = replace(TemplateBroker.can, replace=False)

    async def replace(self, amend: Amend) -> Answer:
        await self.exchange.request("cancel", key=amend.parent_client_order_id)
        return Refusal("CANNOT_REPLACE", "this broker replaces no orders")


class NewestFirst(TemplateBroker):
    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        return (await super().fills_since(account, cursor))[::-1]


class RepeatsAFill(TemplateBroker):
    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        return await super().fills_since(account, str(max(int(cursor or 0) - 1, 0)))


class SkipsAFill(TemplateBroker):
    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        return await super().fills_since(account, str(int(cursor) + 1) if cursor else cursor)


class StartsFromNow(TemplateBroker):
    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        return await super().fills_since(account, cursor) if cursor else []


class EmptyForFailure(TemplateBroker):
    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        try:
            return await super().fills_since(account, cursor)
        except Exception:
            return []


class NothingForFailure(TemplateBroker):
    async def snapshot(self, account: str) -> Mapping[str, Any]:
        try:
            return await super().snapshot(account)
        except Exception:
            return {"holdings": {}, "cash": "0"}


class SnapshotInFloats(TemplateBroker):
    async def snapshot(self, account: str) -> Mapping[str, Any]:
        said = await super().snapshot(account)
        return {"holdings": {s: float(q) for s, q in said["holdings"].items()}, "cash": said["cash"]}


class ChangesFills(TemplateBroker):
    def change(self, fill: Fill) -> Fill:
        raise NotImplementedError

    async def fills_since(self, account: str, cursor: str) -> Sequence[Fill]:
        return [self.change(fill) for fill in await super().fills_since(account, cursor)]


class FloatMoney(ChangesFills):
    def change(self, fill: Fill) -> Fill:
        return replace(fill, price=float(fill.price))  # type: ignore[arg-type]


class NaiveTimes(ChangesFills):
    def change(self, fill: Fill) -> Fill:
        return replace(fill, filled_at=fill.filled_at.replace(tzinfo=None))


class OwnOrderNumber(ChangesFills):
    def change(self, fill: Fill) -> Fill:
        return replace(fill, broker_order_id=f"fill-{fill.broker_order_id}")
