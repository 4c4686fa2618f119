"""A set of requests, or a statement of many rows, gets no more than its rows would one after the other."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
import pytest

from tests.sql.laws.market_kit import OTHER, SYMBOL, Kit, refusal
from tests.sql.laws.reservations.costs import MOST, cost

OPEN = """
select a.nr, a.intent_id, a.code, a.message
from {function}((
    select array_agg(
        row(
            1, i.instrument_id, 'manual', r.intent_type, r.side, r.quantity, r.price, 'set', r.key,
            '1 min', null, null
        )::trade.intent_request
        order by r.nr
    )
    from unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::text[])
        as r (nr, symbol, intent_type, side, quantity, price, key)
    join market.instruments as i on i.symbol = r.symbol
)) as a
order by a.nr
"""
SELLS = """
insert into trade.order_intents (
    account_id, instrument_id, owner, intent_type, side, reason, quantity, worst_price, status, reserved_qty,
    reserved_cash, request, idempotency_key, expires_at
)
select 1, 1, 'manual', 'MANUAL', 'SELL', 'direct', r.quantity, 60000, r.status, r.quantity, 0, '{}',
    'row ' || r.nr, bus.clock() + interval '1 min'
from unnest(%s::numeric[], %s::text[]) with ordinality as r (quantity, status, nr)
"""
ORDERS = """
insert into trade.orders (
    intent_id, account_id, instrument_id, side, client_order_id, status, quantity, limit_price, claimed_by,
    send_before
)
select i.intent_id, i.account_id, i.instrument_id, i.side, 'direct ' || i.intent_id, 'SENDING',
    i.quantity + (i.intent_id = %s)::integer, i.worst_price, %s, bus.clock() + interval '1 min'
from trade.order_intents as i
"""
COUNT = "select count(*) from trade.order_intents where reason in ('set', 'direct')"
numbers = itertools.count(1)


def sell(quantity: Any, symbol: str = SYMBOL, price: Any = 60_000, key: str | None = None) -> tuple[Any, ...]:
    return symbol, "MANUAL", "SELL", quantity, price, key or f"set {next(numbers)}"


def buy(quantity: Any, symbol: str = SYMBOL, price: Any = 70_000, key: str | None = None) -> tuple[Any, ...]:
    return symbol, "MANUAL", "BUY", quantity, price, key or f"set {next(numbers)}"


def ask(*requests: tuple[Any, ...]) -> list[list[Any]]:
    columns = [[None if v is None else str(v) for v in column] for column in zip(*requests, strict=True)]
    return [list(range(1, len(requests) + 1)), *columns]


def answers(kit: Kit, *requests: tuple[Any, ...], function: str = "trade.open_intents") -> list[Any]:
    """Ask for a set; return the code of each answer, None where it became an intent."""
    rows = kit.db.execute(OPEN.format(function=function).encode(), ask(*requests)).fetchall()
    assert [row[0] for row in rows] == list(range(1, len(requests) + 1))
    assert all((row[1] is None) == (row[2] is not None) for row in rows)
    return [row[2] for row in rows]


def test_sells_of_one_position_get_what_is_free_in_the_order_asked(kit: Kit) -> None:
    kit.hold(10)

    rows = kit.db.execute(
        OPEN.format(function="trade.open_intents").encode(), ask(sell(6), sell(6), sell(4), sell(1))
    ).fetchall()

    assert [row[2] for row in rows] == [None, "TRQ01", None, "TRQ01"]
    assert rows[1][3] == "cannot sell 6: 4 of 005930 is free"
    assert rows[3][3] == "cannot sell 1: 0 of 005930 is free"
    assert kit.position().locked_qty == 10


def test_buys_of_one_account_get_its_free_cash_in_the_order_asked(kit: Kit) -> None:
    assert answers(kit, buy(MOST - 5), buy(6, OTHER), buy(5), buy(1)) == [None, "TRC01", None, "TRC01"]

    assert kit.balance().locked_cash == cost(MOST)


def test_each_request_is_refused_for_its_own_reason_and_the_others_become_intents(kit: Kit) -> None:
    kit.hold(10)

    assert answers(
        kit,
        buy(1),
        (SYMBOL, "EXIT", "BUY", 1, 70_000, "wrong type"),
        buy("0.5"),
        buy(1, price=-1),
        sell(99),
        buy(1, key="x" * 300),
        sell(2, price=None),
    ) == [None, "TRI01", "TRI01", "TRI01", "TRQ01", "TRI01", None]


def test_a_halt_refuses_the_buys_of_a_set_and_lets_its_stop_wait_for_a_person(kit: Kit) -> None:
    kit.hold(10)
    kit.call("desk", "select halt('test')")

    assert answers(kit, buy(1), (SYMBOL, "EXIT", "SELL", 10, None, "stop")) == ["TRM01", None]
    assert kit.intent_row(kit.call(kit.db, "select max(intent_id) from trade.order_intents")).status == (
        "PENDING_APPROVAL"
    )


def test_a_key_counts_once_within_a_set_and_across_sets(kit: Kit) -> None:
    once, twice = buy(1, key="a"), buy(1, key="b")

    assert answers(kit, once, twice, twice) == [None, None, "TRI03"]
    assert answers(kit, once, buy(2, key="b")) == [None, "TRI03"]
    assert kit.call(kit.db, COUNT) == 2


@pytest.mark.parametrize("bad", ["last", "only"])
def test_an_unexpected_error_of_one_request_refuses_that_one(kit: Kit, bad: str) -> None:
    kit.db.execute(
        "create function trade.fail() returns trigger language plpgsql as"
        " 'begin raise exception using errcode = ''22012'', message = ''broken''; end';"
        "create trigger _999_fail before insert on trade.order_intents"
        " for each row when (new.idempotency_key = 'bad') execute function trade.fail()"
    )
    requests = [buy(1, key="bad")] if bad == "only" else [buy(1), buy(1, key="bad")]

    codes = answers(kit, *requests, function="trade.open_intents_apart")

    assert codes == ([None] * (len(requests) - 1)) + ["22012"]


def test_two_sets_that_want_the_same_in_opposite_order_both_end(kit: Kit) -> None:
    kit.hold(10)
    kit.hold(10, symbol=OTHER)
    one, other = kit.connect("owner"), kit.connect("owner")
    query = OPEN.format(function="trade.open_intents")

    with kit.connect("owner") as holder, holder.transaction():
        holder.execute("select from trade.positions for no key update")
        asked = [
            kit.background(one, query, *ask(sell(6), sell(6, OTHER))),
            kit.background(other, query, *ask(sell(6, OTHER), sell(6))),
        ]
        kit.wait_for_lock(one)
        kit.wait_for_lock(other)

    codes = [[row[2] for row in done.result(20)] for done in asked]
    assert sorted(codes, key=str) == [["TRQ01", "TRQ01"], [None, None]]


# -- direct SQL: one statement, many rows ------------------------------------------------------------------


def test_rows_of_one_statement_sell_no_more_together_than_is_held(kit: Kit) -> None:
    kit.hold(10)

    with pytest.raises(psycopg.Error, match="cannot sell 12: 10 of 005930 is free") as refused:
        kit.db.execute(SELLS, [[6, 6], ["NEW", "NEW"]])

    assert refused.value.sqlstate == "TRQ01"
    assert kit.call(kit.db, COUNT) == 0


def test_one_bad_row_refuses_the_statement_and_is_named(kit: Kit) -> None:
    kit.hold(10)

    with pytest.raises(psycopg.Error, match=r"intent \d+ cannot move from BEGIN to CLAIMED") as refused:
        kit.db.execute(SELLS, [[1, 1], ["NEW", "CLAIMED"]])

    assert refused.value.sqlstate == "TRL01"
    assert kit.call(kit.db, COUNT) == 0


def test_one_bad_move_among_many_refuses_all_of_them(kit: Kit) -> None:
    kit.hold(10)
    kit.db.execute(SELLS, [[1, 2, 3], ["NEW", "NEW", "PENDING_APPROVAL"]])

    move = "update trade.order_intents set status = 'CLAIMED' where reason = 'direct'"
    with pytest.raises(psycopg.Error, match="cannot move from PENDING_APPROVAL to CLAIMED"):
        kit.db.execute(move)

    assert kit.call(kit.db, COUNT + " and status = 'CLAIMED'") == 0


def test_orders_of_one_statement_are_within_their_intents_each(kit: Kit) -> None:
    worker = kit.worker()
    ids = [kit.insert_intent() for _ in range(3)]
    kit.db.execute("update trade.order_intents set status = 'CLAIMED'")

    assert refusal(lambda: kit.db.execute(ORDERS, [ids[1], worker])) == "TRL04"
    assert kit.db.execute(ORDERS, [0, worker]).rowcount == 3


def test_a_statement_of_many_rows_records_one_event_for_each_and_none_for_a_row_that_stays(kit: Kit) -> None:
    kit.hold(10)
    kit.db.execute(SELLS, [[1, 2, 3], ["NEW"] * 3])
    before = len(kit.events("intent"))

    kit.db.execute(
        "update trade.order_intents set attempts = attempts + (quantity < 3)::integer where reason = 'direct'"
    )

    assert len(kit.events("intent")) == before + 2
