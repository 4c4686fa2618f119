"""An unknown error in one item refuses that item and opens an incident; the rest of the set proceeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sql.laws.market_kit import CASH, OTHER, SYMBOL, Kit, refusal

PROPOSE = "select propose(%s, 'BUY', 'ENTRY', 1)"


def sabotage(kit: Kit, table: str, when: str, moment: str = "insert or update", code: str = "22012") -> None:
    """Make every write of certain rows fail, like a fault that nobody foresaw."""
    kit.db.execute(
        f"""
        create function public.sabotage() returns trigger language plpgsql as $$
        begin
            raise exception 'sabotage' using errcode = '{code}';
        end $$;
        create trigger sabotage before {moment} on {table}
        for each row when ({when}) execute function public.sabotage();
        """.encode()
    )


def failed(kit: Kit) -> list[str]:
    """Subjects of the failed_item incidents."""
    found = kit.rows("desk", "select subject, detail from incidents where kind = 'failed_item' order by 1")
    assert all(row.detail["message"] == "sabotage" for row in found)
    return [row.subject for row in found]


def statuses(kit: Kit) -> list[str]:
    return [
        row.status for row in kit.rows(kit.db, "select status from trade.order_intents order by intent_id")
    ]


def test_a_pick_that_fails_is_refused_and_the_others_are_routed(kit: Kit) -> None:
    strategy = kit.add_strategy()
    for symbol in (SYMBOL, OTHER):
        kit.call(strategy, PROPOSE, symbol)
    sabotage(kit, "trade.order_intents", "new.instrument_id = 1")

    assert kit.call("router", "select route_picks(10)") == 2

    rows = kit.rows("desk", "select status, code from picks order by pick_id")
    assert [tuple(row) for row in rows] == [("REFUSED", "22012"), ("ROUTED", "ok")]
    assert failed(kit) == ["route_picks: pick 1"]


@pytest.mark.parametrize("code", ["40001", "55P03"])
def test_an_error_of_the_server_is_no_pick_of_anybodys(kit: Kit, code: str) -> None:
    kit.call(kit.add_strategy(), PROPOSE, SYMBOL)
    sabotage(kit, "trade.order_intents", "true", "insert", code)

    assert refusal(lambda: kit.call("router", "select route_picks(10)")) == code

    assert kit.call("desk", "select status from picks") == "NEW"


def test_an_intent_that_cannot_be_claimed_keeps_no_other_from_the_broker(kit: Kit) -> None:
    for symbol in (SYMBOL, OTHER):
        kit.buy(1, symbol=symbol)
    sabotage(kit, "trade.orders", "new.instrument_id = 1", "insert")

    assert [order.symbol for order in kit.claim()] == [OTHER]
    assert kit.claim() == []

    assert statuses(kit) == ["NEW", "CLAIMED"]
    assert failed(kit) == ["claim_intents: intent 1"]
    assert kit.audit() == []


def test_an_order_whose_storing_fails_late_is_not_handed_out(kit: Kit) -> None:
    """The trigger fails after the row was written: an order handed out before that would be sent unstored."""
    kit.buy(1)
    sabotage(kit, "bus.events", "new.entity = 'order'", "insert")

    assert kit.claim() == []

    assert kit.call(kit.db, "select count(*) from trade.orders") == 0


def test_a_cancel_that_cannot_be_lent_keeps_no_other_from_the_broker(kit: Kit) -> None:
    for symbol in (SYMBOL, OTHER):
        kit.call(
            "desk",
            "select cancel_intent(%s, 'test')",
            kit.order(kit.live_order("BUY", 1, 70_000, symbol=symbol).order_id).intent_id,
        )
    sabotage(kit, "trade.orders", "new.instrument_id = 1", "update")

    lent = kit.rows("execution", "select symbol from claim_cancels(%s, 10)", kit.worker())

    assert [row.symbol for row in lent] == [OTHER]
    assert failed(kit) == ["lease_orders: order 1"]


def test_an_amend_that_cannot_be_stored_keeps_no_other_from_the_broker(kit: Kit) -> None:
    for symbol in (SYMBOL, OTHER):
        kit.hold(10, symbol=symbol)
        kit.live_order("SELL", 10, 80_000, symbol=symbol)
    kit.db.execute(
        "update trade.orders set amend_at = %s, amend_price = 80000 where closed_at is null", [kit.now]
    )
    sabotage(kit, "trade.orders", "new.instrument_id = 1", "insert")

    due = kit.rows("execution", "select symbol from claim_amends(%s, 10)", kit.worker())

    assert [row.symbol for row in due] == [OTHER]
    assert failed(kit) == ["claim_amends: intent 2"]


def test_a_stop_that_fails_stops_no_other(kit: Kit) -> None:
    kit.add_strategy()
    for symbol in (SYMBOL, OTHER):
        kit.hold(10, owner="momo", symbol=symbol)
        kit.quote(60_000, 60_100, symbol=symbol)
    sabotage(kit, "trade.order_intents", "new.instrument_id = 1", "insert")

    assert [kit.call("exits", "select fire_exits()") for _ in range(3)] == [1, 0, 0]

    assert statuses(kit) == ["FILLED", "FILLED", "NEW"]
    assert failed(kit) == ["fire_exits: position 1/1/momo"]
    assert len([e for e in kit.events("incident") if e.data["kind"] == "failed_item"]) == 1


def test_a_resting_sell_that_cannot_be_escalated_stops_no_other(kit: Kit) -> None:
    kit.add_strategy()
    for symbol in (SYMBOL, OTHER):
        kit.hold(10, owner="momo", symbol=symbol)
        kit.sell(10, 80_000, owner="momo", symbol=symbol)
        kit.quote(60_000, 60_100, symbol=symbol)
    sabotage(kit, "trade.order_intents", "new.instrument_id = 1", "update")

    assert kit.call("exits", "select fire_exits()") == 1

    assert failed(kit) == ["escalate_stops: intent 2"]
    assert kit.intent_row(4).escalated_at is not None


def test_an_intent_that_cannot_expire_keeps_no_other_alive(kit: Kit) -> None:
    for symbol in (SYMBOL, OTHER):
        kit.buy(1, symbol=symbol, ttl="1 s")
    sabotage(kit, "trade.order_intents", "new.instrument_id = 1", "update")
    kit.advance(seconds=2)

    assert kit.call("risk", "select expire_due()") == 1

    assert statuses(kit) == ["NEW", "EXPIRED"]
    assert failed(kit) == ["expire_due: intent 1"]


def test_an_intent_that_cannot_end_under_a_mode_keeps_no_other_alive(kit: Kit) -> None:
    for symbol in (SYMBOL, OTHER):
        kit.buy(1, symbol=symbol)
    sabotage(kit, "trade.order_intents", "new.instrument_id = 1", "update")
    kit.call("desk", "select safe('test')")

    assert kit.call("risk", "select enforce_modes()") == 1

    assert statuses(kit) == ["NEW", "CANCELLED"]
    assert failed(kit) == ["enforce_modes: intent 1"]


def test_an_account_that_cannot_be_measured_hides_no_other(kit: Kit) -> None:
    kit.add_account("second")
    sabotage(kit, "risk.account_equity", "new.account_id = 1")
    kit.advance(seconds=1)

    assert kit.call("superuser", "select api.measure_equity()") == 1

    assert failed(kit) == ["measure_equity: account demo"]
    assert kit.call("desk", "select account from performance where measured_at = %s", kit.now) == "second"


@pytest.mark.parametrize(("code", "incidents"), [("22012", [("job_missed", True)]), ("55P03", [])])
def test_a_job_that_fails_is_due_again_after_its_time_and_the_others_run(
    kit: Kit, code: str, incidents: list[tuple[str, bool]]
) -> None:
    sabotage(kit, "bus.seals", "true", "insert", code)
    kit.db.execute("update bus.jobs set next_run_at = %s", [kit.now])

    assert [kit.call("risk", "select run_due_jobs()") for _ in range(4)] == [1, 1, 1, 0]

    assert kit.call("desk", "select count(*) from performance") == 1
    assert kit.incidents() == incidents


def test_a_paper_order_that_fails_keeps_no_other_waiting(kit: Kit) -> None:
    place = "select paper_place(%s, 'demo', %s, 'BUY', 'LIMIT', 1, 60000)"
    for symbol in (SYMBOL, OTHER):
        kit.call("execution", place, symbol, symbol)
        kit.quote(59_900, 60_000, symbol=symbol)
    sabotage(kit, "paper.orders", "new.instrument_id = 1", "update")

    assert kit.call("execution", "select paper_match()") == 1

    assert failed(kit) == ["paper_match: paper order 1"]


def test_a_holding_that_cannot_be_corrected_leaves_the_others_corrected(kit: Kit) -> None:
    snapshot = f'{{"holdings": {{"{SYMBOL}": 3, "{OTHER}": 5}}}}'
    query = "select reconcile('demo', holdings_fingerprint('demo'), %s::jsonb)"
    sabotage(kit, "trade.reconciliations", "new.instrument_id = 1")

    assert [kit.call("reconcile", query, snapshot) for _ in range(2)] == ["DIFFERS", "CORRECTED"]

    assert failed(kit) == [f"reconcile: {SYMBOL} of account 1"]
    assert kit.position(symbol=OTHER).qty == 5
    assert kit.position().qty == 0 if kit.position() else True


def test_an_intent_that_cannot_be_shed_refuses_no_fact(kit: Kit) -> None:
    kit.buy(1, 70_000)
    kit.buy(1, 70_000, symbol=OTHER)
    sabotage(kit, "trade.order_intents", "new.instrument_id = 2", "update")

    assert kit.move_cash(-CASH) == 0

    assert statuses(kit) == ["CANCELLED", "NEW"]
    assert failed(kit) == ["release_unsent_intents: intent 2"]


def test_an_intent_that_cannot_be_ended_does_not_stand_in_the_way_of_an_adoption(kit: Kit) -> None:
    kit.call("desk", "select set_override_code('tulip-4711')")
    for symbol in (SYMBOL, OTHER):
        kit.buy(1, symbol=symbol)
    kit.db.execute("update bus.instance set is_foreign = true")
    sabotage(kit, "trade.order_intents", "new.instrument_id = 1", "update")

    assert kit.call("desk", "select adopted from adopt('test', 'tulip-4711')")

    assert statuses(kit) == ["NEW", "EXPIRED"]
    assert failed(kit) == ["adopt: intent 1"]


@pytest.mark.parametrize(
    "write",
    [
        lambda kit: kit.db.execute("update trade.accounts set fills_cursor = 'odd'"),
        lambda kit: kit.call("risk", "select raise_incident('failed_item', repeat('€', 9000), null)"),
    ],
    ids=["a cursor that is no number", "an incident with a long name"],
)
def test_an_odd_word_stops_nobody_from_looking_for_work(kit: Kit, write: Callable[[Kit], object]) -> None:
    write(kit)

    kit.rows("execution", "select * from orders_waiting()")
    kit.rows("risk", "select * from work_waiting()")
