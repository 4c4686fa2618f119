"""L4: statuses begin and change only as the transition tables list, whoever writes.

The tests try each pair of statuses by direct SQL as the table owner, and set every other column as the target
status requires, so that only the lifecycle can refuse.
"""

import pytest

from tests.sql.laws.market_kit import refusal, refuses_truncate

INTENT_STATUSES = (
    *("PENDING_APPROVAL", "NEW", "CLAIMED", "SUBMITTED", "PARTIAL_FILLED"),
    *("FILLED", "CANCELLED", "REJECTED", "EXPIRED"),
)
ORDER_STATUSES = (
    *("NEW", "SENDING", "IN_DOUBT", "SUBMITTED", "PARTIAL_FILLED"),
    *("FILLED", "CANCELLED", "REJECTED", "EXPIRED", "REPLACED"),
)
INTENT_ENDS = {"FILLED", "CANCELLED", "REJECTED", "EXPIRED"}
ORDER_ENDS = {"FILLED", "CANCELLED", "REJECTED", "EXPIRED", "REPLACED"}


def intent_values(status):
    filled = {"PARTIAL_FILLED": 4, "FILLED": 10}.get(status, 0)
    ended = status in INTENT_ENDS
    return {
        "status": status,
        "filled_qty": filled,
        "reserved_cash": 0 if ended else (10 - filled) * 70_000,
        "closed_at": "2026-03-02" if ended else None,
    }


def order_values(status):
    return {
        "status": status,
        "filled_qty": {"PARTIAL_FILLED": 4, "FILLED": 10}.get(status, 0),
        "closed_at": "2026-03-02" if status in ORDER_ENDS else None,
    }


def move(conn, table, key, number, values):
    columns = ", ".join(f"{name} = %s" for name in values)
    conn.execute(f"update {table} set {columns} where {key} = %s", [*values.values(), number])


def listed_moves(kit, table):
    return {tuple(row) for row in kit.db.execute(f"select from_status, to_status from {table}")}


def path_to(listed, status):
    """Return the shortest path from the beginning to a status."""
    paths = [["BEGIN"]]
    while paths:
        path = paths.pop(0)
        if path[-1] == status:
            return path[1:]
        paths += [[*path, to] for at, to in sorted(listed) if at == path[-1] and to not in path]
    raise AssertionError(f"{status} cannot be reached")


def tried(conn, call):
    """Return the SQLSTATE with which a write is refused, or None, and roll it back."""
    with conn.transaction(force_rollback=True):
        return refusal(call)


def test_an_intent_begins_only_as_its_lifecycle_says(kit):
    listed = listed_moves(kit, "trade.intent_transitions")
    owner = kit.connect("owner")

    answers = {
        status: tried(owner, lambda s=status: kit.insert_intent(owner, quantity=10, **intent_values(s)))
        for status in INTENT_STATUSES
    }

    assert answers == {status: None if ("BEGIN", status) in listed else "TRL01" for status in INTENT_STATUSES}


def test_an_intent_moves_only_as_its_lifecycle_says(kit):
    listed = listed_moves(kit, "trade.intent_transitions")
    owner = kit.connect("owner")
    answers = {}

    for before in INTENT_STATUSES:
        first, *rest = path_to(listed, before)
        number = kit.insert_intent(owner, quantity=10, **intent_values(first))
        for status in rest:
            move(owner, "trade.order_intents", "intent_id", number, intent_values(status))
        for after in set(INTENT_STATUSES) - {before}:
            values = intent_values(after)
            answers[before, after] = tried(
                owner, lambda n=number, v=values: move(owner, "trade.order_intents", "intent_id", n, v)
            )

    assert answers == {pair: None if pair in listed else "TRL01" for pair in answers}
    assert len(answers) == 9 * 8


def test_an_order_begins_only_as_its_lifecycle_says(kit):
    listed = listed_moves(kit, "trade.order_transitions")
    owner = kit.connect("owner")
    intent_id = kit.insert_intent(owner, quantity=10, reserved_cash=700_000)
    move(owner, "trade.order_intents", "intent_id", intent_id, {"status": "CLAIMED"})

    answers = {
        status: tried(
            owner, lambda s=status: kit.insert_order(intent_id, owner, quantity=10, **order_values(s))
        )
        for status in ORDER_STATUSES
    }

    assert answers == {status: None if ("BEGIN", status) in listed else "TRL01" for status in ORDER_STATUSES}


def test_an_order_moves_only_as_its_lifecycle_says(kit):
    listed = listed_moves(kit, "trade.order_transitions")
    owner = kit.connect("owner")
    answers = {}

    for before in sorted({after for _, after in listed}):
        intent_id = kit.insert_intent(owner, quantity=10, reserved_cash=700_000)
        move(owner, "trade.order_intents", "intent_id", intent_id, {"status": "CLAIMED"})
        first, *rest = path_to(listed, before)
        number = kit.insert_order(intent_id, owner, quantity=10, **order_values(first))
        for status in rest:
            move(owner, "trade.orders", "order_id", number, order_values(status))
        for after in set(ORDER_STATUSES) - {before}:
            values = order_values(after)
            answers[before, after] = tried(
                owner, lambda n=number, v=values: move(owner, "trade.orders", "order_id", n, v)
            )

    assert answers == {pair: None if pair in listed else "TRL01" for pair in answers}
    assert {before for before, _ in answers} >= {*ORDER_STATUSES} - {"NEW"}


@pytest.mark.parametrize("status", ["BANANA", "new", ""])
def test_a_status_nobody_listed_is_refused(kit, status):
    intent_id = kit.buy(1)

    assert refusal(lambda: kit.insert_intent(status=status)) == "TRL01"
    assert (
        refusal(lambda: move(kit.db, "trade.order_intents", "intent_id", intent_id, {"status": status}))
        == "TRL01"
    )


def test_a_late_fill_raises_what_was_filled_and_not_the_status(kit):
    order = kit.live_order("BUY", 10, 70_000)
    kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)

    assert kit.fill(order, 4, 70_000) == "RECORDED"

    row = kit.order(order.order_id)
    assert (row.status, row.filled_qty) == ("CANCELLED", 4)
    intent = kit.intent_row(row.intent_id)
    assert (intent.status, intent.filled_qty) == ("CANCELLED", 4)
    assert kit.position().qty == 4
    assert kit.audit() == []


def test_the_decision_of_an_intent_never_changes(kit):
    intent_id = kit.insert_intent(quantity=10, reserved_cash=700_000)
    changes = {
        "account_id": "2",
        "instrument_id": "2",
        "owner": "'momo'",
        "intent_type": "'ENTRY'",
        "side": "'SELL'",
        "quantity": "11",
        "worst_price": "70001",
        "reserve_rate": "0.1",
        "escalated_at": "now(), worst_price = 60000",
        "idempotency_key": "'other'",
    }

    answers = {
        column: refusal(
            lambda c=column, v=value: kit.db.execute(
                f"update trade.order_intents set {c} = {v} where intent_id = %s", [intent_id]
            )
        )
        for column, value in changes.items()
    }

    assert answers == dict.fromkeys(changes, "TRL02")


def test_what_an_order_says_never_changes(kit):
    order = kit.live_order("BUY", 10, 70_000)
    changes = {
        "intent_id": "intent_id + 1",
        "account_id": "2",
        "instrument_id": "2",
        "side": "'SELL'",
        "client_order_id": "'another'",
        "broker_order_id": "'another'",
        "order_type": "'MARKET'",
        "quantity": "9",
        "limit_price": "69000",
        "send_before": "send_before + interval '1 s'",
        "fence": "fence - 1",
    }

    answers = {
        column: refusal(
            lambda c=column, v=value: kit.db.execute(
                f"update trade.orders set {c} = {v} where order_id = %s", [order.order_id]
            )
        )
        for column, value in changes.items()
    }

    assert answers == dict.fromkeys(changes, "TRL02")


@pytest.mark.parametrize("table", ["trade.order_intents", "trade.orders"])
def test_intents_and_orders_are_never_removed(kit, table):
    kit.hold(1)

    assert refusal(lambda: kit.db.execute(f"delete from {table}")) == "TRL02"
    assert refuses_truncate(kit.db, table)


def test_since_when_an_order_has_its_status_is_no_writers_word(kit):
    kit.buy(1)
    kit.db.execute("update trade.order_intents set status = 'CLAIMED'")
    kit.insert_order(1, state_since="2001-01-01")
    since = "select state_since from trade.orders"
    assert kit.call(kit.db, since) == kit.now

    kit.advance(seconds=5)
    kit.db.execute("update trade.orders set status = 'SUBMITTED', state_since = '2001-01-01'")

    assert kit.call(kit.db, since) == kit.now
