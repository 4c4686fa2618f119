"""Send claimed orders to the broker and record its answers.

The database decides; this worker only carries data.  It keeps no state worth saving: after a crash the next
process asks the broker about an order that may have been sent, and never sends it again blindly.

Nothing waits for an answer.  A claimed order goes to its adapter at once, as a task, and its answer is
recorded when it comes; cancels, amends, questions and the import of fills are tasks beside it.  So a broker
that takes seconds delays no order of another.  A replay waits for each instead, since its order of statements
is fixed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from workers.brokers import (
    Accepted,
    Amend,
    Answer,
    Brokers,
    Fill,
    Order,
    OrderRef,
    OrderState,
    Refusal,
    Total,
    Unknown,
)
from workers.runtime.checkpoints import checkpoint
from workers.runtime.database import Queries
from workers.runtime.errors import LostFence
from workers.runtime.settings import Settings
from workers.runtime.worker import Worker

BATCH = 50
IN_FLIGHT = 100  # orders that may wait for an answer at the same time; no more are claimed meanwhile

CLAIM = "select * from api.claim_intents($1, $2, p_fire_exits => $3)"
UNSEND = "select api.unsend($1, $2)"
WAITING = "select * from api.orders_waiting()"
AMENDS = "select * from api.claim_amends($1, $2)"
ACCEPTED = "select api.order_accepted($1, $2, $3, $4)"
REJECTED = "select api.order_rejected($1, $2, $3, $4, $5)"
UNKNOWN = "select api.order_unknown($1, $2, $3)"
CANCELS = "select * from api.claim_cancels($1, $2)"
CANCELLED = "select api.order_cancelled($1, $2, $3)"
DOUBTS = "select * from api.claim_doubts($1, $2)"
CHECKS = "select * from api.claim_checks($1, $2)"
NOT_FOUND = "select api.order_not_found($1, $2)"
ACCOUNTS = "select account, broker, fills_cursor from api.accounts_to_execute()"
FILL = "select api.record_fill($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
TOTAL = "select api.record_cumulative($1, $2, $3, $4, $5, $6, $7, $8)"
ADVANCE = "select api.advance_fills_cursor($1, $2)"


class Execution(Worker):
    """Sends and cancels orders, asks about orders in doubt, and imports fills."""

    name = "execution"
    channels = ("new_intent", "order_work", "prices_reached")
    poll = timedelta(seconds=1)
    monotonic = staticmethod(time.monotonic)

    def __init__(
        self, settings: Settings | None = None, *args: str, db: Queries | None = None, worker_id: int = 0
    ) -> None:
        super().__init__(settings, *args, db=db, worker_id=worker_id)
        self.lockstep = db is not None
        self._sending: set[asyncio.Task[None]] = set()
        self._beside: dict[str, asyncio.Task[int]] = {}
        self._failure: BaseException | None = None  # of a task, until the next drain raises it

    async def start(self) -> None:
        self.brokers = Brokers(self.db)

    async def release(self) -> None:
        """Record the answers that come before the shutdown goes on; other orders are asked about later."""
        tasks = [*self._sending, *self._beside.values()]
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()

    async def drain(self) -> int:
        """Begin all the work the tables show now; return how many orders were claimed and what is done."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        done = await self._send_claimed()
        waiting = await self.db.fetchrow(WAITING)  # usually nothing: one query in place of six
        if waiting["cancels"]:
            done += await self._begin("cancels", self._cancel_asked)
        if waiting["doubts"]:
            done += await self._begin("doubts", self._ask_doubtful)
        if waiting["amends"]:
            done += await self._begin("amends", self._amend_due)
        if waiting["fills"]:
            done += await self._import_fills()
        return done

    async def _begin(self, name: str, work: Callable[[], Awaitable[int]]) -> int:
        """Begin this work unless it is going on, and come back when it has ended; a replay waits for it."""
        if self.lockstep:
            return await work()
        if name not in self._beside:
            task = self._beside[name] = asyncio.create_task(self._until_done(work), name=name)
            task.add_done_callback(lambda task: self._ended(task, lambda: self._beside.pop(name, None)))
        return 0

    async def _until_done(self, work: Callable[[], Awaitable[int]]) -> int:
        done = 0
        while (count := await work()) and not self.stopping:
            done += count
        return done

    def _ended(self, task: asyncio.Task[Any], forget: Callable[[], object]) -> None:
        """Look for more work after what was done; keep a failure for the next drain, which reports it."""
        forget()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._failure is not None:
            self.log.error("%s failed as well: %s", task.get_name(), error)
        self._failure = self._failure or error
        if error is not None or task.result() != 0:
            self.wake.set()

    async def _send_claimed(self) -> int:
        room = min(BATCH, IN_FLIGHT - len(self._sending))
        if room <= 0:
            return 0  # the next answer wakes us
        asked_at = self.monotonic()
        reached = self.bus.was_heard("prices_reached")
        orders = [Order(**row) for row in await self.db.fetch(CLAIM, self.id, room, reached)]
        await checkpoint("execution.claimed")
        if self.lockstep:
            await self._each(self._send(order, asked_at) for order in orders)
            return len(orders)
        for order in orders:
            task = asyncio.create_task(self._send(order, asked_at), name=f"order {order.order_id}")
            self._sending.add(task)
            task.add_done_callback(lambda task: self._ended(task, lambda: self._sending.discard(task)))
        return len(orders)

    async def _amend_due(self) -> int:
        asked_at = self.monotonic()
        amends = [Amend(**row) for row in await self.db.fetch(AMENDS, self.id, BATCH)]
        await self._each(self._send(amend, asked_at) for amend in amends)
        return len(amends)

    async def _send(self, order: Order | Amend, asked_at: float) -> None:
        await checkpoint("execution.before_send")
        # The deadline counts from before the claim was requested, on the monotonic clock: nobody can set it.
        if self.monotonic() - asked_at >= order.send_within.total_seconds():
            self.log.warning("order %s was not sent in time", order.order_id)
            await self._record(UNSEND, order.order_id, order.fence)
            return
        answer = await self._place(order)
        await checkpoint("execution.before_record")
        match answer:
            case Accepted(broker_order_id, quantity):
                await self._record(ACCEPTED, order.order_id, order.fence, broker_order_id, quantity)
            case Refusal(code, message, transient):
                await self._record(REJECTED, order.order_id, order.fence, code, message, transient)
            case Unknown(detail):
                await self._record(UNKNOWN, order.order_id, order.fence, detail)

    def answer_timeout(self, order: Order | Amend) -> float | None:
        """Seconds to wait for the answer to this order; None waits for ever."""
        return order.answer_timeout.total_seconds()

    async def _place(self, order: Order | Amend) -> Answer:
        broker = self.brokers.of(order.broker)
        try:
            async with asyncio.timeout(self.answer_timeout(order)):
                return await (broker.replace(order) if isinstance(order, Amend) else broker.place(order))
        except TimeoutError:
            return Unknown(f"no answer within {order.answer_timeout.total_seconds():g} s")
        except Exception as error:  # whatever failed, the order may have reached the broker
            self.log.exception("placing order %s failed", order.order_id)
            return Unknown(f"{type(error).__name__}: {error}")

    async def _cancel_asked(self) -> int:
        refs = [OrderRef(**row) for row in await self.db.fetch(CANCELS, self.id, BATCH)]
        await self._hear_of(refs, self._cancel)
        return len(refs)

    async def _cancel(self, ref: OrderRef) -> bool:
        """Ask the broker to cancel an order; return whether the broker knows the order."""
        state = await self.brokers.of(ref.broker).cancel(ref)
        if state is not None and state.status != "OPEN":  # an open order is cancelled again after the lease
            await self._record_end(ref, state)
        return state is not None

    async def _ask_doubtful(self) -> int:
        refs = [OrderRef(**row) for row in await self.db.fetch(DOUBTS, self.id, BATCH)]
        refs += [OrderRef(**row) for row in await self.db.fetch(CHECKS, self.id, BATCH)]
        await self._hear_of(refs, self._ask)
        return len(refs)

    async def _ask(self, ref: OrderRef) -> bool:
        """Ask the broker about an order; return whether the broker knows the order."""
        state = await self.brokers.of(ref.broker).order_state(ref)
        if state is None:
            return False
        if state.status != "REJECTED":
            await self._record(ACCEPTED, ref.order_id, ref.fence, state.broker_order_id, None)
        if state.status != "OPEN":
            await self._record_end(ref, state)
        return True

    async def _record_end(self, ref: OrderRef, state: OrderState) -> None:
        if state.status == "REJECTED":
            await self._record(REJECTED, ref.order_id, ref.fence, "REJECTED", state.message, False)
        else:
            await self._record(CANCELLED, ref.order_id, ref.fence, state.filled_qty)

    async def _hear_of(self, refs: Sequence[OrderRef], ask: Callable[[OrderRef], Awaitable[bool]]) -> None:
        """Ask about all orders; read an account's fills before recording one of its orders as not found."""
        unknown: list[OrderRef] = []

        async def hear(ref: OrderRef) -> None:
            if not await ask(ref):
                unknown.append(ref)

        try:
            await self._each(hear(ref) for ref in refs)
        finally:
            await self._each(
                self._not_found([ref for ref in unknown if ref.account == account])
                for account in sorted({ref.account for ref in unknown})
            )

    async def _not_found(self, refs: Sequence[OrderRef]) -> None:
        """Record orders of one account as not found, after importing the account's fills."""
        await self._import_all(refs[0].account, refs[0].broker)
        for ref in refs:
            await self._record(NOT_FOUND, ref.order_id, ref.fence)

    async def _import_all(self, account: str, broker: str) -> None:
        """Import all fills of an account, then record that they were read to the end."""
        await self.brokers.of(broker).refresh()  # what is read must be newer than the answer "not found"
        while True:
            (row,) = [row for row in await self.db.fetch(ACCOUNTS) if row["account"] == account]
            if await self._import_of(**row) == 0:
                break
        await self.db.execute(ADVANCE, account, row["fills_cursor"])

    async def _import_fills(self) -> int:
        """Import the fills of all accounts, each broker's beside the others'."""
        brokers = sorted({row["broker"] for row in await self.db.fetch(ACCOUNTS)})
        return await self.in_turn(
            self._begin(f"fills of {broker}", partial(self._import_from, broker)) for broker in brokers
        )

    async def _import_from(self, broker: str) -> int:
        accounts = [row for row in await self.db.fetch(ACCOUNTS) if row["broker"] == broker]
        await self.brokers.of(broker).refresh()
        return await self.in_turn(self._import_of(**account) for account in accounts)

    async def _import_of(self, account: str, broker: str, fills_cursor: str) -> int:
        fills = await self.brokers.of(broker).fills_since(account, fills_cursor)
        for fill in fills:
            await self._record_fill(account, fill)
        if fills:
            await self.db.execute(ADVANCE, account, fills[-1].cursor)
        return len(fills)

    async def _record_fill(self, account: str, fill: Fill | Total) -> None:
        order = account, fill.client_order_id, fill.broker_order_id
        cost = fill.fee, fill.tax, fill.filled_at
        if isinstance(fill, Fill):
            what = f"fill {fill.broker_fill_id}"
            answer = await self.db.fetchval(
                FILL, *order, fill.broker_fill_id, fill.quantity, fill.price, *cost, fill.fee_qty
            )
        else:
            what = f"the total of order {fill.broker_order_id}"
            answer = await self.db.fetchval(TOTAL, *order, fill.quantity, fill.notional, *cost)
        await checkpoint("execution.fill_recorded")
        if answer == "UNMATCHED":
            self.log.error("%s of %s fits no order", what, account)

    async def _record(self, query: str, *args: Any) -> None:
        """Record an answer, unless another process has taken over the order."""
        try:
            await self.db.execute(query, *args)
        except LostFence as error:
            self.log.warning("%s", error)

    async def _each(self, work: Any) -> None:
        """Await all concurrently; a failure does not stop the others, and the first is raised at the end."""
        results = await asyncio.gather(*work, return_exceptions=True)
        for failure in (result for result in results if isinstance(result, BaseException)):
            raise failure
