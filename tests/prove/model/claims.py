"""What workers are handed: intents to send, orders to amend, to cancel and to ask about."""

from __future__ import annotations

from tests.prove.model.records import ANSWER_TIMEOUT, LEASE, MINUTE, SECOND, Intent, Order
from tests.prove.model.state import Model


def claimable(model: Model, limit: int) -> list[Intent]:
    """The intents that `claim_intents` must hand out: sells first, then by age."""

    def lets_through(i: Intent) -> bool:
        verdict = model.verdict(i.side)
        return (
            i.status == "NEW"
            and i.expires > model.now
            and (i.not_before is None or i.not_before <= model.now)
            and (verdict == "ALLOW" or (verdict == "APPROVE" and i.approved))
            and model.accounts[i.account].reconciled_run == model.run
            and not any(
                (o.stray or o.status == "IN_DOUBT" or (o.status == "SENDING" and o.send_before < model.now))
                and (o.intent.account, o.intent.symbol, o.intent.side) == (i.account, i.symbol, i.side)
                for o in model.orders.values()
            )
            and not model.open_orders(i)
        )

    return sorted(filter(lets_through, model.intents.values()), key=lambda i: (i.side == "BUY", i.id))[:limit]


def store(model: Model, order: Order) -> None:
    """Store a claimed order, or the child of an order to be amended."""
    order.intent.attempts += 1
    if order.parent is None:
        order.intent.status = "CLAIMED"
    model.reached["amend" if order.parent else f"attempt {order.intent.attempts}"] += 1
    model.orders[order.id] = order


def amends_due(model: Model) -> list[Order]:
    return [
        o
        for o in model.orders.values()
        if o.amend_at
        and o.amend_at <= model.now
        and o.status in ("SUBMITTED", "PARTIAL_FILLED")
        and not o.cancel_asked
        and not o.intent.closed
        and (model.verdict(o.intent.side) == "ALLOW" or o.intent.approved)
        and not any(c.is_pending for c in model.open_orders(o.intent))
    ]


def cancels_due(model: Model) -> list[Order]:
    return [
        o
        for o in model.orders.values()
        if o.cancel_asked
        and (o.stray or o.status in ("SUBMITTED", "PARTIAL_FILLED"))
        and (o.next_ask is None or o.next_ask <= model.now)
    ]


def doubts_due(model: Model) -> list[Order]:
    """Put orphaned orders in doubt; return all orders in doubt that are due for a query."""
    for order in model.orders.values():
        if order.status == "SENDING" and (
            order.send_before + ANSWER_TIMEOUT < model.now
            or (order.send_before < model.now and order.worker not in model.alive)
        ):
            order.status = "IN_DOUBT"
            order.fence += 1
            model.reached["orphan"] += 1
    return [
        o
        for o in model.orders.values()
        if o.status == "IN_DOUBT" and (o.next_ask is None or o.next_ask <= model.now)
    ]


def checks_due(model: Model) -> list[Order]:
    """Live orders not checked for a minute: at most ten, at most once a second."""
    due = [
        o
        for o in model.orders.values()
        if o.check_at
        and o.check_at <= model.now
        and o.status in ("SUBMITTED", "PARTIAL_FILLED")
        and not o.cancel_asked
    ]
    if not due or (model.checked_at and model.checked_at > model.now - SECOND):
        return []
    model.checked_at = model.now
    due = sorted(due, key=lambda o: (o.check_at, o.id))[:10]
    for order in due:
        order.check_at = model.now + MINUTE
    return due


def lease(model: Model, orders: list[Order], worker: int) -> list[tuple[int, int]]:
    """Lend orders to a worker under a new fence."""
    for order in orders:
        order.worker = worker
        order.fence += 1
        order.next_ask = model.now + LEASE
    return [(o.id, o.fence) for o in orders]
