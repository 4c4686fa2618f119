"""L9 and L10: each change is one permanent event with its actor; each position change has a version."""

import pytest

from tests.sql.laws.market_kit import refusal, refuses_truncate


def changes(kit, entity):
    return [(event.change, event.actor) for event in kit.events(entity)]


def test_each_change_of_an_intent_is_one_event_with_its_actor(kit):
    order = kit.live_order("BUY", 10, 70_000)
    kit.fill(order, 4, 70_000)
    kit.fill(order, 6, 70_000)

    assert changes(kit, "intent") == [
        ("NEW", "aegis_desk"),
        ("CLAIMED", "aegis_w_execution"),
        ("SUBMITTED", "aegis_w_execution"),
        ("PARTIAL_FILLED", "aegis_w_execution"),
        ("FILLED", "aegis_w_execution"),
    ]
    assert [change for change, _ in changes(kit, "order")] == [
        "SENDING",
        "SUBMITTED",
        "PARTIAL_FILLED",
        "FILLED",
    ]
    assert changes(kit, "fill") == [("BUY", "aegis_w_execution")] * 2
    assert [change for change, _ in changes(kit, "position")] == ["created", "changed", "changed"]


def test_an_event_is_of_the_transaction_of_its_change(kit):
    with kit.at("desk").transaction(force_rollback=True):
        kit.buy(1)

    assert kit.events("intent") == []


def test_a_change_by_direct_sql_is_told_too(kit):
    intent_id = kit.insert_intent()
    kit.db.execute("update trade.order_intents set reason = 'another' where intent_id = %s", [intent_id])
    kit.db.execute("update risk.system_mode set mode = 'SAFE', reason = 'direct'")

    user = kit.db.info.user
    assert changes(kit, "intent") == [("NEW", user)] * 2
    assert changes(kit, "mode") == [("SAFE", user)]


def test_an_update_that_changes_nothing_is_not_reported(kit):
    intent_id = kit.insert_intent()

    kit.db.execute("update trade.order_intents set reason = reason where intent_id = %s", [intent_id])

    assert len(kit.events("intent")) == 1


def test_an_event_says_who_even_behind_the_door_or_a_role(kit):
    owner = kit.connect("owner")

    kit.insert_intent(owner)

    (event,) = kit.events("intent")
    assert event.actor == kit.db.info.user, "set role does not hide who it was"


@pytest.mark.parametrize("writer", ["superuser", "owner"])
def test_events_are_only_added_to(kit, writer):
    kit.buy(1)
    kit.db.execute(
        "insert into bus.events (event_id, generation, cause, entity, change, data) overriding system value"
        " values (10000000000, 1, 'test', 'test', 'in the default partition', '{}')"
    )
    conn = kit.connect(writer)
    tables = [
        row[0]
        for row in kit.db.execute(
            "select 'bus.events' union all select inhrelid::regclass::text from pg_inherits"
            " where inhparent = 'bus.events'::regclass"
        )
    ]
    assert len(tables) > 1

    for table in tables:
        assert refuses_truncate(conn, table)
        for statement in (f"update {table} set actor = 'nobody'", f"delete from {table}"):
            assert refusal(lambda s=statement: conn.execute(s.encode())) == "TRL02", statement


def test_the_answers_of_the_gates_are_only_added_to(kit):
    strategy = kit.add_strategy()
    kit.call(strategy, "select propose('005930', 'BUY')")
    kit.call("router", "select route_picks(1)")

    for statement in (
        "update strategy.gate_results set passed = false",
        "delete from strategy.gate_results",
        "truncate strategy.gate_results",
    ):
        assert refusal(lambda s=statement: kit.db.execute(s.encode())) == "TRL02", statement


def test_each_change_of_a_positions_facts_raises_its_version(kit):
    kit.hold(10)
    versions = [kit.position().version]
    order = kit.live_order("SELL", 4, 60_000)
    versions.append(kit.position().version)
    kit.fill(order, 2, 71_000)
    versions.append(kit.position().version)
    kit.fill(order, 2, 71_000)
    versions.append(kit.position().version)

    assert versions == [2, 2, 3, 4], "a reservation is no fact; a fill is"


@pytest.mark.parametrize(
    ("update", "raised"),
    [
        ("qty = 11", 1),
        ("cost = 700001", 1),
        ("realized_pnl = 1", 1),
        ("locked_qty = 1", 0),
        ("version = 100", 0),
        ("version = 100, qty = 11", 1),
    ],
)
def test_the_version_follows_the_facts_whoever_writes(kit, update, raised):
    kit.hold(10)
    before = kit.position().version

    kit.db.execute(f"update trade.positions set {update}".encode())

    assert kit.position().version == before + raised


@pytest.mark.parametrize(
    "row",
    [
        "qty = 1, cost = 1, opened_at = null",
        "qty = 0, cost = 0",
        "qty = 0, opened_at = null",
        "cost = -1",
    ],
)
def test_a_position_has_a_cost_and_a_beginning_only_while_it_is_held(kit, row):
    kit.hold(10)

    assert refusal(lambda: kit.db.execute(f"update trade.positions set {row}".encode())) == "23514"
