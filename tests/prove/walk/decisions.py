"""Steps that make intents: people, strategies and their router, and exits that fire."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tests.prove.model import intents as intents_model
from tests.prove.model.records import BUYS, SELLS, Intent, No
from tests.prove.place import ACCOUNTS, STRATEGY
from tests.prove.walk.market import MID
from tests.prove.walk.walker import Violation, Walk

TTLS = (dt.timedelta(seconds=3), dt.timedelta(minutes=1), dt.timedelta(hours=1))
CREATED = """
select i.intent_id, a.account, n.symbol, i.owner, i.intent_type, i.side, i.quantity, i.limit_price,
    i.worst_price, i.status, i.expires_at, i.pick_id is not null, i.ttl
from trade.order_intents i
join trade.accounts a using (account_id)
join market.instruments n using (instrument_id)
where i.intent_id > %s order by i.intent_id
"""
CREATE = "select create_intent(%s, %s, %s, %s::numeric, %s::numeric, %s, %s, %s, %s, %s)"


def create_intent(walk: Walk) -> None:
    account, symbol = walk.account(), walk.symbol()
    side = walk.choices.one_of(("BUY", "SELL"))
    owner = walk.owner(account)
    held = [h for h in walk.model.positions if walk.model.free_qty(h) > 0]
    if side == "SELL" and held and walk.chance(80):
        account, symbol, owner = walk.choices.one_of(held)
    kind = walk.choices.one_of(BUYS if side == "BUY" else SELLS)
    quantity = walk.quantity(symbol)
    limit = None
    if walk.chance(70):
        limit = MID[symbol] * (1 + Decimal(walk.choices.number(-20, 40)) / 1000)
    keys = [i.key for i in walk.model.intents.values() if i.account == account and i.key]
    key = walk.choices.one_of(keys) if keys and walk.chance(5) else f"key {next(walk.numbers)}"
    ttl = walk.choices.one_of(TTLS)
    again = next((i for i in walk.model.intents.values() if i.key == key and i.account == account), None)
    if again and walk.chance(50):
        symbol, owner, kind, side, quantity, limit = again.asked

    create(walk, account, symbol, side, quantity, limit, owner, kind, key, ttl)


def propose(walk: Walk) -> None:
    symbol = walk.symbol()
    side, kind = walk.choices.one_of((("BUY", "ENTRY"), ("BUY", "ADD"), ("SELL", "EXIT")))
    quantity = walk.quantity(symbol) if walk.chance(50) else None
    walk.attempt("strategy", "select propose(%s, %s, %s, %s::numeric)", symbol, side, kind, quantity)
    if walk.chance(70):
        route(walk)


def route(walk: Walk) -> None:
    walk.attempt("router", "select route_picks(%s)", walk.choices.number(1, 5))
    for intent in new_intents(walk):
        walk.must(
            (intent.account, intent.owner) == (ACCOUNTS[0], STRATEGY), f"{intent} is not the strategy's"
        )
        admit(walk, intent)


def fire_exits(walk: Walk) -> None:
    walk.attempt("exits", "select fire_exits()")
    for intent in new_intents(walk):
        walk.must(walk.model.instruments[intent.symbol].is_fresh(walk.model.now), "an exit on a stale price")
        lot = walk.model.instruments[intent.symbol].lot
        free = walk.model.free_qty(intent.holding) // lot * lot
        walk.must(intent.quantity == free, f"exit {intent.id} of {intent.quantity}, {free} is free")
        admit(walk, intent)
    query = "select intent_id, worst_price from trade.order_intents where escalated_at is not null"
    for number, worst in walk.place.db.execute(query).fetchall():
        escalate(walk, walk.model.intents[number], worst)


def create(
    walk: Walk,
    account: str,
    symbol: str,
    side: str,
    quantity: Decimal,
    limit: Decimal | None,
    owner: str,
    kind: str,
    key: str,
    ttl: dt.timedelta,
) -> None:
    """Create an intent in both, and keep it in the model under the database's id."""
    made: list[Intent] = []

    def expected() -> Intent:
        made.append(
            intents_model.create_intent(
                walk.model, account, symbol, side, quantity, limit, owner, kind, key, ttl
            )
        )
        return made[0]

    args = (account, symbol, side, quantity, limit, "test", owner, kind, key, ttl)
    number = walk.both("desk", CREATE, args, expected)
    if number and not made[0].id:
        made[0].id = walk.newest = number
        walk.model.intents[number] = made[0]


def new_intents(walk: Walk) -> list[Intent]:
    """The intents created since the last call, as the database describes them."""
    made = []
    for row in walk.place.db.execute(CREATED.encode(), [walk.newest]).fetchall():
        intent = Intent(*row)
        walk.newest = intent.id
        made.append(intent)
    return made


def admit(walk: Walk, intent: Intent) -> None:
    """Check that an intent created by a worker was admissible after the ones before it, and keep it."""
    wanted = {"ALLOW": "NEW", "APPROVE": "PENDING_APPROVAL"}.get(walk.model.verdict(intent.side))
    walk.must(intent.status == wanted, f"intent {intent.id} is {intent.status}, must be {wanted}")
    try:
        intents_model.check_admission(walk.model, intent)
    except No as no:
        raise Violation(f"{intent} was made and must be refused with {no.code}") from None
    walk.model.intents[intent.id] = intent


def escalate(walk: Walk, intent: Intent, worst: Decimal) -> None:
    """Check that a stop escalated this resting sell rightly, and do the same in the model."""
    if intent.escalated:
        return
    instrument = walk.model.instruments[intent.symbol]
    walk.must(intent.side == "SELL" and intent.limit is not None and not intent.closed, f"escalated {intent}")
    walk.must(instrument.is_fresh(walk.model.now), f"{intent} escalated on a stale price")
    walk.must(
        worst == intents_model.worst_price(walk.model, instrument, "SELL", "EXIT", None),
        f"{intent} to {worst}",
    )
    intent.worst, intent.limit, intent.escalated = worst, None, True
    for order in walk.model.open_orders(intent):
        if order.limit > worst:
            order.amend_at = walk.model.now
