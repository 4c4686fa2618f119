"""Steps of the market: time passes, prices move, and cash comes and goes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tests.prove.model import accounts as accounts_model
from tests.prove.place import COIN, STOCK
from tests.prove.walk.walker import Walk

PAUSES = ("0.05", "0.9", "1.5", "6", "11", "70")
MID = {STOCK: Decimal(70_000), COIN: Decimal(200)}
QUOTE = (
    "select applied, superseded, quarantined from ingest_quotes('sim', %s::text[], %s::timestamptz[],"
    " %s::bigint[], %s::numeric[], '{1000000}', %s::numeric[], '{1000000}')"
)


def wait(walk: Walk) -> None:
    walk.let_pass(float(walk.choices.one_of(PAUSES)))


def quote(walk: Walk) -> None:
    symbol = walk.symbol()
    move = Decimal(walk.choices.number(-60, 60)) / 10_000
    tick = Decimal(100) if symbol == STOCK else Decimal("0.01")
    bid = (MID[symbol] * (1 + move) / tick).to_integral_value() * tick
    ask = bid + tick * walk.choices.number(-1 if walk.chance(5) else 1, 3)
    late = dt.timedelta(seconds=3) if walk.chance(10) else dt.timedelta(0)
    put_quote(walk, symbol, bid, ask, walk.model.now - late)


def quotes(walk: Walk) -> None:
    """Quote all symbols again, so that calls which need a fresh price can succeed."""
    for symbol in (STOCK, COIN):
        move = Decimal(walk.choices.number(-60, 60)) / 10_000
        tick = Decimal(100) if symbol == STOCK else Decimal("0.01")
        bid = (MID[symbol] * (1 + move) / tick).to_integral_value() * tick
        put_quote(walk, symbol, bid, bid + tick, walk.model.now)


def move_cash(walk: Walk) -> None:
    account = walk.account()
    amount = Decimal(walk.choices.number(-300, 200)) * 100_000 or Decimal(1)
    waits = any(
        i.status == "NEW" and (i.account, i.side) == (account, "BUY") for i in walk.model.intents.values()
    )
    if waits and walk.chance(50):  # more than the waiting buys leave free
        amount = -(max(walk.model.free_cash(account), Decimal(0)) // 1 + 1)
    kind = "deposit" if amount > 0 else "withdrawal"
    query = "select record_cash(%s, %s, %s::numeric, 'test')"
    walk.both(
        "desk",
        query,
        (account, kind, amount),
        lambda: accounts_model.record_cash(walk.model, account, amount),
    )


def put_quote(walk: Walk, symbol: str, bid: Decimal, ask: Decimal, ts: dt.datetime) -> None:
    seq = next(walk.seqs)
    (said,) = walk.place.rows("feed", QUOTE, [symbol], [ts], [seq], [bid], [ask])
    instrument = walk.model.instruments[symbol]
    newer = instrument.quoted is None or (ts, seq) > instrument.quoted
    walk.must(said == (int(newer), int(not newer), 0), f"a quote at {ts} was counted as {said}")
    if newer:
        instrument.bid, instrument.ask = bid, ask
        instrument.quoted, instrument.received_at = (ts, seq), walk.model.now
