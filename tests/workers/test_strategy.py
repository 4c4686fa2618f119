"""A strategy's process on a real server: it proposes once, survives refusals, and reports its crashes."""

import asyncio
import json
import logging
import textwrap

import asyncpg
import pytest

from workers.feeds import Quote
from workers.feeds.simulator import INSTRUMENTS
from workers.price_sync import PriceSync
from workers.runtime.errors import NotFound
from workers.runtime.settings import Settings
from workers.strategies import StrategyError
from workers.strategy import StrategyCrashed, StrategyWorker

PICKS = """
select i.symbol, p.side, p.intent_type, p.quantity, p.reason, p.idempotency_key, p.strategy
from strategy.picks as p join market.instruments as i using (instrument_id)
order by p.pick_id
"""
EVERY = """
from workers.strategies import Strategy, Proposal, parameter

class Every(Strategy):
    \"\"\"Buys at every price.\"\"\"
    times = parameter(1, least=1, most=9)

    def on_data(self, price):
        for _ in range(self.times):
            yield self.buy(price, f"bid is {price.bid}")
"""


@pytest.fixture
def desk(db, login):
    desk = login("aegis_desk")
    for i in INSTRUMENTS:
        desk.execute("select add_instrument('SIM', %s, %s, 'KRW', 'KRX')", [i.symbol, i.name])
    desk.execute("select add_account('demo', 'paper', 'SIM', 'KRW', p_deposit => 100000000)")
    return desk


@pytest.fixture
def add(desk, tmp_path):
    """Return a function that writes a strategy's file and row and returns its name."""

    def add(code=EVERY, name="mine", cls="Every", symbols=("005930",), **parameters):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(code))
        desk.execute(
            "select add_strategy(%s, %s, 'demo', %s, 10000000, 1000000, p_parameters => %s)",
            [name, f"{path}:{cls}", list(symbols), json.dumps(parameters)],
        )
        desk.execute("select start_strategy(%s)", [name])
        return name

    return add


@pytest.fixture
async def market(connect, desk):
    """Return a function that ingests one quote of a symbol."""
    sync = PriceSync(Settings(), "sim:1", db=await connect("aegis_w_price_sync"))

    async def bring(symbol="005930", bid=71_900):
        now = await sync.db.fetchval("select clock_timestamp()")
        sync.offer([Quote(symbol, now, str(bid), "10", str(bid + 100), "10")])
        await sync.drain()

    return bring


@pytest.fixture
async def lockstep(connect, add):
    async def lockstep(**kwargs):
        name = add(**kwargs)
        return StrategyWorker(Settings(), name, db=await connect(f"aegis_s_{name}"))

    return lockstep


async def test_it_proposes_what_its_class_wants_once_for_each_price(lockstep, market, db):
    worker = await lockstep()
    await market()

    assert await worker.drain() == 1
    assert await worker.drain() == 0
    await market(bid=72_000)
    assert await worker.drain() == 1
    assert [row[:5] for row in db.execute(PICKS)] == [
        ("005930", "BUY", "ENTRY", None, "bid is 71900"),
        ("005930", "BUY", "ENTRY", None, "bid is 72000"),
    ]


async def test_it_sees_only_its_own_symbols(lockstep, market):
    worker = await lockstep()
    await market("000660", bid=186_500)

    assert await worker.drain() == 0
    assert worker.seen == {}


async def test_several_proposals_of_one_price_are_several_picks(lockstep, market, db):
    worker = await lockstep(times=3)
    await market()

    assert await worker.drain() == 3
    assert len({row[5] for row in db.execute(PICKS)}) == 3


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_lost_in_a_proposal_makes_one_pick(lockstep, market, db, when):
    worker = await lockstep(times=2)
    await market()
    real, broken = worker.db.execute, [when]

    class Breaking:
        def __getattr__(self, name):
            return getattr(link, name)

        async def execute(self, *args):
            if broken == ["before"] and broken.pop():
                raise ConnectionResetError
            await real(*args)
            if broken == ["after"] and broken.pop():
                raise ConnectionResetError

    link, worker.db = worker.db, Breaking()
    with pytest.raises(ConnectionResetError):
        await worker.drain()
    await worker.drain()

    assert len(db.execute(PICKS).fetchall()) == 2


async def test_a_restart_before_the_next_price_proposes_nothing_new(lockstep, market, db):
    worker = await lockstep()
    await market()
    await worker.drain()
    again = StrategyWorker(Settings(), "mine", db=worker.db)
    await again.drain()

    assert len(db.execute(PICKS).fetchall()) == 1


async def test_a_refused_proposal_is_logged_with_code_and_hint_and_life_goes_on(lockstep, market, db, caplog):
    code = EVERY + "\n".join(
        [
            "",
            "class Greedy(Every):",
            "    def on_data(self, price):",
            "        yield Proposal('000660', 'BUY', reason='not mine')",
            "        yield from super().on_data(price)",
        ]
    )
    worker = await lockstep(code=code, cls="Greedy")
    await market()

    with caplog.at_level(logging.WARNING):
        assert await worker.drain() == 1

    (record,) = [record for record in caplog.records if "000660" in record.getMessage()]
    assert (record.code, record.hint) == ("TRI04", "select symbols from my_strategy;")
    assert len(db.execute(PICKS).fetchall()) == 1


async def test_a_proposal_that_cannot_be_sent_is_not_tried_for_ever(lockstep, market, db):
    worker = await lockstep(
        code=EVERY.replace("self.buy(price, f", "Proposal(price.symbol, 'BUY', quantity='many', reason=f")
    )
    await market()

    with pytest.raises(asyncpg.DataError):
        await worker.drain()
    assert await worker.drain() == 0
    assert not worker.unsent


BROKEN = EVERY.replace("for _ in range(self.times):", "price.bid / 0\n        for _ in range(1):")


async def test_a_replay_hears_at_once_of_an_error_in_the_strategy(lockstep, market):
    worker = await lockstep(code=BROKEN)
    await market()

    with pytest.raises(StrategyCrashed, match="Every failed at a price of 005930") as error:
        await worker.drain()
    assert isinstance(error.value.__cause__, ArithmeticError)


async def test_the_process_ends_with_an_error_in_the_strategy_and_reports_its_traceback(
    add, dsn, market, db, caplog
):
    worker = StrategyWorker(Settings(database_url=dsn(f"aegis_s_{add(code=BROKEN)}")), "mine")
    await market()

    with caplog.at_level(logging.ERROR), pytest.raises(StrategyCrashed):
        await asyncio.wait_for(worker.run(), 20)

    (event,) = db.execute("select data from bus.events where entity = 'error'").fetchone()
    assert "mine.py" in event["detail"]["traceback"]
    assert "price.bid / 0" in event["detail"]["traceback"]
    assert "price.bid / 0" in caplog.text


@pytest.mark.parametrize("thing", ["'BUY'", "None", "{}"])
async def test_a_strategy_that_yields_no_proposal_is_told_so(lockstep, market, thing):
    worker = await lockstep(code=EVERY.replace('self.buy(price, f"bid is {price.bid}")', thing))
    await market()

    with pytest.raises(StrategyCrashed, match="must yield Proposals"):
        await worker.drain()


async def test_a_wrong_parameter_stops_the_start_and_is_reported(add, dsn, db):
    worker = StrategyWorker(Settings(database_url=dsn(f"aegis_s_{add(tims=3)}")), "mine")

    with pytest.raises(StrategyError, match="did you mean times"):
        await asyncio.wait_for(worker.run(), 20)
    (message,) = db.execute("select data ->> 'message' from bus.events where entity = 'error'").fetchone()
    assert "did you mean times" in message


async def test_a_login_without_a_strategy_is_refused(connect):
    worker = StrategyWorker(Settings(), "nobody", db=await connect("aegis_s_nobody"))

    with pytest.raises(NotFound):
        await worker.drain()


async def test_it_knows_what_it_holds(lockstep, market, db):
    worker = await lockstep()
    db.execute(
        "insert into trade.positions (account_id, instrument_id, owner, qty, cost, opened_at)"
        " select a.account_id, i.instrument_id, 'mine', 7, 71000, now()"
        " from trade.accounts as a cross join market.instruments as i where i.symbol = '005930'"
    )
    await market()
    await worker.drain()

    assert worker.strategy.positions == {"005930": 7}


async def test_the_same_prices_make_the_same_picks(connect, add, market, db):
    """Two strategies of one class make the same picks from the same prices."""
    bids = [71_900 + 100 * (n * n % 23 - n % 7) for n in range(120)]
    workers = []
    for name in ("one", "two"):
        code = "from workers.strategies.mean_reversion import MeanReversion\n"
        add(code=code, name=name, cls="MeanReversion", entry=1.5, cooldown=5)
        workers.append(StrategyWorker(Settings(), name, db=await connect(f"aegis_s_{name}")))
    for bid in bids:
        await market(bid=bid)
        for worker in workers:
            await worker.drain()

    picks = {name: [] for name in ("one", "two")}
    for symbol, side, _, _, reason, _, strategy in db.execute(PICKS):
        picks[strategy].append((symbol, side, reason))
    assert len(picks["one"]) >= 2
    assert picks["one"] == picks["two"]
