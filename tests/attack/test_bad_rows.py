"""One bad row never stops the others: odd numbers, huge texts, keys of exits; in a trading system."""

from __future__ import annotations

import pytest

from tests.attack.conftest import HOSTILE
from tests.e2e.system import SYMBOLS, Connection, System
from workers.runtime.errors import BadInput

PROPOSE = "select propose(%s, 'BUY', 'ENTRY', p_quantity => %s, p_limit_price => %s, p_reason => %s)"
ODD = ("9" * 131_072, "NaN", "Infinity", "0." + "0" * 16_381 + "1", "-1")


def test_no_odd_pick_stops_the_router(trading: System, hostile: Connection) -> None:
    symbol = SYMBOLS[0]
    for odd in ODD:
        for quantity, price in ((odd, None), (None, odd)):
            with pytest.raises(BadInput):
                hostile.execute(PROPOSE, [symbol, quantity, price, "odd"])
    with pytest.raises(BadInput):
        hostile.execute(PROPOSE, [symbol, 1, None, "x" * 50_000_000])
    hostile.execute(PROPOSE, [symbol, 1, None, "even"])

    answered = "select status <> 'NEW' from api.picks where reason = 'even' order by pick_id desc limit 1"
    trading.wait_for(answered, within=5)
    trading.wait_for_fills(1)
    assert trading.value("select count(*) from api.incidents where kind = 'failed_item'") == 0


def test_no_key_of_a_person_stops_the_stops(trading: System) -> None:
    """Nobody can take the keys that the next exits will use; the same keys without `aegis:` block nothing."""
    create = "select create_intent('demo', %s, 'SELL', 1, 1e9, p_owner => %s, p_idempotency_key => %s)"
    held = trading.rows(
        "select symbol, owner, format('exit:%s:%s:%s:%s', instrument_id, owner, version, fired)"
        " from trade.positions join market.instruments using (instrument_id)"
        " join trade.position_exits using (account_id, instrument_id, owner)"
    )
    with trading.desk() as desk:
        for symbol, owner, key in held:
            with pytest.raises(BadInput):
                desk.execute(create, [symbol, owner, f"aegis:{key}"])
            desk.execute(
                "select create_intent('demo', %s, 'BUY', 1, 1, p_ttl => '1 s', p_idempotency_key => %s)",
                [symbol, key],
            )

    trading.wait_for_fills(1, side="SELL", within=40)
    assert trading.value("select count(*) from api.refusals where code = 'TRI03'") == 0


def test_an_item_that_fails_is_an_incident_and_the_rest_goes_on(trading: System) -> None:
    """An unforeseen error in every insert of one symbol's intents."""
    trading.admin.execute(
        """
        create function public.sabotage() returns trigger language plpgsql as $$
        begin
            raise division_by_zero;
        end $$;
        create trigger sabotage before insert on trade.order_intents
        for each row when (new.instrument_id = 1) execute function public.sabotage();
        """
    )
    try:
        with trading.login(HOSTILE) as strategy:
            strategy.execute(
                PROPOSE,
                [
                    trading.value("select symbol from market.instruments where instrument_id = 1"),
                    1,
                    None,
                    "spoilt",
                ],
            )
        trading.wait_for("select count(*) > 0 from api.incidents where kind = 'failed_item'", within=5)
        trading.wait_for_fills(1)
    finally:
        trading.admin.execute("drop function public.sabotage cascade")
