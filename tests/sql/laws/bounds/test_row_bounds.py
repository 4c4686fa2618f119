"""No writer stores a row out of bounds, and no key of a person stands in the way of a stop."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import SYMBOL, Kit, refusal
from workers.runtime.errors import BadInput

TINY = "0." + "0" * 16_381 + "1"


# -- direct writes to tables -------------------------------------------------------------------------------


def test_an_intent_out_of_bounds_is_not_stored(kit: Kit) -> None:
    for odd in (
        {"quantity": TINY, "reserved_cash": 70_000 * Decimal(TINY)},
        {"reason": "x" * 3_000},
        {"expires_at": "infinity"},
        {"idempotency_key": "x" * 300},
    ):
        assert refusal(lambda odd=odd: kit.insert_intent(**odd)) == "TRI01"  # type: ignore[misc]


def test_an_order_out_of_bounds_is_not_stored(kit: Kit) -> None:
    intent_id = kit.insert_intent()
    kit.db.execute("update trade.order_intents set status = 'CLAIMED'")

    for odd in ({"quantity": TINY}, {"limit_price": TINY}, {"send_before": "infinity"}):
        with kit.db.transaction(force_rollback=True):
            assert refusal(lambda odd=odd: kit.insert_order(intent_id, **odd)) == "TRI01"  # type: ignore[misc]


def test_a_pick_out_of_bounds_is_not_stored(kit: Kit) -> None:
    kit.add_strategy()
    columns = "strategy, account_id, instrument_id, intent_type, side, idempotency_key, request, expires_at"

    for column, odd in (("quantity", TINY), ("limit_price", TINY), ("reason", "x" * 3_000)):
        more = f"{columns}, {column}" + ("" if column == "reason" else ", reason")
        values = [odd] + ([] if column == "reason" else [""])
        query = (
            f"insert into strategy.picks ({more}) values ('momo', 1, 1, 'ENTRY', 'BUY', 'k', '{{}}', now()"
            + ", %s" * len(values)
            + ")"
        )
        assert refusal(lambda q=query, v=values: kit.db.execute(q.encode(), v)) == "TRI01"  # type: ignore[misc]


@pytest.mark.parametrize(
    "table_and_columns",
    [
        ("strategy.strategies", "budget", "order_notional"),
        ("risk.limits", "value"),
        ("market.instruments", "lot_size", "min_notional"),
        ("trade.exit_rules", "value"),
        ("risk.triggers", "threshold"),
    ],
    ids=lambda given: given[0],
)
def test_a_rule_out_of_bounds_is_not_stored(kit: Kit, table_and_columns: tuple[str, ...]) -> None:
    kit.add_strategy()
    table, *columns = table_and_columns

    for column in columns:
        for odd in ("NaN", "Infinity", "1e18", "1e-19"):
            query = f"update {table} set {column} = '{odd}'".encode()
            assert refusal(lambda query=query: kit.db.execute(query)) == "23514"  # type: ignore[misc]


# -- keys --------------------------------------------------------------------------------------------------


def test_no_key_of_a_person_stands_in_the_way_of_a_stop(kit: Kit) -> None:
    kit.add_strategy()
    kit.hold(10, owner="momo")
    version = kit.position("momo").version
    kit.sell(1, 80_000, key=f"exit:1:momo:{version}:0", symbol=SYMBOL, owner="momo")
    kit.call("desk", "select cancel_intent(2, 'test')")

    for prefix in ("aegis:exit", "aegis:pick", "aegis:"):
        with pytest.raises(BadInput):
            kit.buy(1, key=f"{prefix}:1:momo:{version}:0")
    kit.quote(60_000, 60_100)

    assert kit.call("exits", "select fire_exits()") == 1


def test_a_key_of_an_older_database_still_names_its_intent(kit: Kit) -> None:
    first = kit.buy(1, key="exit:1:old:2:0")

    assert kit.buy(1, key="exit:1:old:2:0") == first


def test_a_time_to_live_is_above_zero_and_has_an_end(kit: Kit) -> None:
    for odd in ("0 s", "-1 s", "31 days", "178000000 years"):
        with pytest.raises(BadInput):
            kit.buy(1, ttl=odd)

    assert kit.buy(1, ttl="30 days")
