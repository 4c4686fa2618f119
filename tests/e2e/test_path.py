"""The path of a trade: quote, pick, intent, order, fill, position, exit, flat."""

from tests.e2e.system import System

ROUND_TRIP = """
select buy.intent_id
from api.intents as buy
join api.picks as p on p.pick_id = buy.pick_id and p.status = 'ROUTED'
join api.orders as bo on bo.intent_id = buy.intent_id and bo.status = 'FILLED'
join api.fills as bf on bf.order_id = bo.order_id
join api.intents as sell
    on sell.owner = buy.owner and sell.symbol = buy.symbol and sell.intent_id > buy.intent_id
    and sell.intent_type = 'EXIT' and sell.pick_id is null and sell.reason in ('STOP_LOSS', 'TAKE_PROFIT')
join api.fills as sf on sf.intent_id = sell.intent_id
where buy.side = 'BUY'
"""


def test_a_trade_goes_from_a_pick_to_flat_on_the_simulator(system: System) -> None:
    system.start()

    intent = system.wait_for(ROUND_TRIP, within=40, what="a buy that a stop or target sold again")
    system.wait_for(
        "select exists (select from trade.positions where qty = 0 and version > 1)",
        what="a position to be flat",
    )

    stations = [station for _, station, _ in system.rows("select * from api.explain(%s)", [intent])]
    assert stations[:3] == ["pick", "gate 1", "gate 2"]
    assert set(stations[3:5]) == {"gate 3", "intent"}
    assert {"order", "fill"} <= set(stations[5:])


def test_a_second_start_goes_on_where_the_first_stopped(system: System) -> None:
    system.start()
    system.wait_for_fills(2)
    system.stop()
    before = system.rows("select account, symbol, owner, qty, stop_price from api.positions order by 1, 2, 3")
    fills, last = system.rows("select count(*), max(fill_id) from trade.fills")[0]

    system.start()

    assert system.value("select count(*) from trade.fills where fill_id <= %s", [last]) == fills
    assert {row[1:3] for row in before} <= {
        tuple(row) for row in system.rows("select symbol, owner from api.positions")
    }
    system.wait_for_fills(2)
