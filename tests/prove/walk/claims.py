"""Steps of an executor that claims: intents to send, orders to amend, to cancel and to ask about."""

from __future__ import annotations

from collections.abc import Callable

from tests.prove.model import claims as claims_model
from tests.prove.model.records import SECOND, Order
from tests.prove.model.state import Model
from tests.prove.walk.walker import Walk

CLAIM = (
    "select order_id, client_order_id, account, symbol, side, quantity, limit_price"
    " from claim_intents(%s, %s)"
)
AMEND = (
    "select order_id, client_order_id, parent_client_order_id, quantity, limit_price"
    " from claim_amends(%s, 100)"
)


def claim(walk: Walk, limit: int = 0) -> None:
    station, limit = walk.station(), limit or walk.choices.one_of((1, 3, 100))
    worker = walk.place.workers[station]
    rows = walk.place.rows(station, CLAIM, worker, limit)
    wanted = {
        (i.id, i.attempts + 1, i.account, i.symbol, i.side, i.rest, i.worst)
        for i in claims_model.claimable(walk.model, limit)
    }
    found = {(*map(int, client.split("-")[1:]), *rest) for _, client, *rest in rows}
    walk.must(found == wanted, f"claimed {found}, must be {wanted}")
    for number, client, *_, quantity, price in rows:
        intent = walk.model.intents[int(client.split("-")[1])]
        claims_model.store(
            walk.model, Order(number, intent, client, quantity, price, worker, walk.model.now + SECOND)
        )


def amend(walk: Walk) -> None:
    station = walk.station()
    worker = walk.place.workers[station]
    due = {o.id: o for o in claims_model.amends_due(walk.model)}
    rows = walk.place.rows(station, AMEND, worker)
    parents = {o.client_id: o for o in due.values()}
    walk.must({row[2] for row in rows} == set(parents), f"amends {rows}, must be of {sorted(parents)}")
    for number, client, parent, quantity, price in rows:
        old = parents[parent]
        walk.must(quantity == old.intent.rest, f"an amend of {quantity}, the rest is {old.intent.rest}")
        claims_model.store(
            walk.model,
            Order(number, old.intent, client, quantity, price, worker, walk.model.now + SECOND, old, True),
        )


def ask_about_doubts(walk: Walk) -> None:
    take(walk, "select order_id, fence from claim_doubts(%s, 100)", claims_model.doubts_due)


def claim_cancels(walk: Walk) -> None:
    take(walk, "select order_id, fence from claim_cancels(%s, 100)", claims_model.cancels_due)


def check(walk: Walk) -> None:
    take(walk, "select order_id, fence from claim_checks(%s, 100)", claims_model.checks_due)


def kill(walk: Walk) -> None:
    station = walk.station()
    walk.model.alive.discard(walk.place.workers[station])
    walk.place.kill(station)
    walk.model.alive.add(walk.place.hire(station))


def take(walk: Walk, query: str, due: Callable[[Model], list[Order]]) -> None:
    """Claim what is due, and compare the orders and their fences with the model's."""
    station = walk.station()
    worker = walk.place.workers[station]
    rows = walk.place.rows(station, query, worker)
    wanted = claims_model.lease(walk.model, due(walk.model), worker)
    walk.must(sorted(rows) == sorted(wanted), f"{query}: {rows}, must be {wanted}")
