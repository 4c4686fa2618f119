"""Frequent calls cost the same on the first day and after a hundred thousand orders.

The plans inside functions cannot be inspected, so the rows they read are counted.  Each function is called
once in a database with a long history; pg_stat_xact_user_tables shows how many rows of the growing tables it
read and whether it scanned one of them sequentially.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.prove.history import GROWING, add_past
from tests.prove.place import ACCOUNTS, COIN, STOCK, STRATEGY, Connect, Place

ROWS = 100_000
FEW = 1_100  # rows a call may read of a growing table of any size: seals are made a thousand at once

READ = """
select schemaname || '.' || relname, seq_scan, coalesce(seq_tup_read, 0), coalesce(idx_tup_fetch, 0)
from pg_stat_xact_user_tables
where schemaname || '.' || relname = any (%s)
"""


@pytest.fixture(scope="module")
def old_place(connect: Connect) -> Iterator[Place]:
    """A database with a long history and some work for every function."""
    place = Place(connect)
    place.now = place.now.replace(year=2026)
    for account in ACCOUNTS:
        place.ask("desk", "select record_cash(%s, 'deposit', 900000000, 'plans')", account)
        place.ask("desk", "select record_cash(%s, 'dividend', 1, 'plans')", account)
        _agree(place, account)
    for symbol, bid in ((STOCK, 70_000), (COIN, 200)):
        _quote(place, symbol, bid)
    _trade(place)
    place.db.execute(
        "insert into risk.limits (account_id, limit_name, value)"
        " select account_id, 'max_entries_per_day', 1000 from trade.accounts"
    )
    place.db.execute("select api.measure_equity(), api.make_partitions()")
    add_past(place.db, ROWS, STRATEGY)
    yield place
    place.close()


def _agree(place: Place, account: str) -> None:
    fingerprint = place.ask("reconcile", "select holdings_fingerprint(%s)", account)
    place.ask("reconcile", "select reconcile(%s, %s, %s)", account, fingerprint, Jsonb({"holdings": {}}))


def _quote(place: Place, symbol: str, bid: int) -> None:
    place.ask(
        "feed",
        "select applied from ingest_quotes('sim', %s::text[], %s::timestamptz[], '{1}', %s::numeric[],"
        " '{100}', %s::numeric[], '{100}')",
        [symbol],
        [place.now],
        [bid],
        [bid + (100 if symbol == STOCK else 1)],
    )


def _trade(place: Place) -> None:
    """Create positions with exits, resting orders, an order in doubt, and a waiting intent and pick."""
    for symbol, price in ((STOCK, 70_000), (COIN, 200)):
        for owner in ("manual", STRATEGY):
            kind = "MANUAL" if owner == "manual" else "ENTRY"
            for _ in range(2):
                _create(place, symbol, "BUY", 100, price, owner, kind)
    orders = place.rows("execution", ORDERS, place.workers["execution"])
    for number, fence, client in orders[::2]:
        place.ask("execution", "select order_accepted(%s, %s, 'L' || %s)", number, fence, number)
        args = (ACCOUNTS[0], client, f"L{number}", 100, 70_000, place.now)
        place.ask("execution", "select record_fill(%s, %s, null, %s, %s, %s, 0, 0, %s)", *args)
    for number, fence, _ in orders[1::2]:
        place.ask("execution", "select order_accepted(%s, %s, 'L' || %s)", number, fence, number)
    for symbol, price in ((STOCK, 80_000), (COIN, 300)):
        _create(place, symbol, "SELL", 40, price, STRATEGY, "EXIT")
    number, fence, _ = place.rows("execution", ORDERS, place.workers["execution"])[0]
    place.ask("execution", "select order_unknown(%s, %s, 'x')", number, fence)
    place.ask("strategy", "select propose(%s, 'BUY', 'ADD')", STOCK)
    _create(place, STOCK, "BUY", 1, 60_000, "manual", "MANUAL")
    place.ask("execution", "select paper_place('p1', %s, %s, 'BUY', 'LIMIT', 5, 70000)", ACCOUNTS[0], COIN)


ORDERS = "select order_id, fence, client_order_id from claim_intents(%s, 100)"


def _create(place: Place, symbol: str, side: str, quantity: int, price: int, owner: str, kind: str) -> None:
    query = "select create_intent(%s, %s, %s, %s, %s, 'plans', %s, %s, null, '1 h')"
    place.ask("desk", query, ACCOUNTS[0], symbol, side, quantity, price, owner, kind)


CALLS: dict[str, tuple[str, str, Callable[[Place], tuple[Any, ...]]]] = {
    "claim_intents": ("execution", ORDERS, lambda p: (p.workers["execution"],)),
    "claim_cancels": (
        "execution",
        "select order_id from claim_cancels(%s, 100)",
        lambda p: (p.workers["execution"],),
    ),
    "claim_doubts": (
        "execution",
        "select order_id from claim_doubts(%s, 100)",
        lambda p: (p.workers["execution"],),
    ),
    "claim_amends": (
        "execution",
        "select order_id from claim_amends(%s, 100)",
        lambda p: (p.workers["execution"],),
    ),
    "fire_exits": ("exits", "select fire_exits()", lambda _: ()),
    "route_picks": ("router", "select route_picks(100)", lambda _: ()),
    "record_fill": (
        "execution",
        "select record_fill(%s, %s, null, 'once', 1, 70000, 1, 1, %s)",
        lambda p: (ACCOUNTS[0], _client(p), p.now),
    ),
    "record_fill by the broker's number": (
        "execution",
        "select record_fill(%s, null, %s, 'twice', 1, 70000, 1, 1, %s)",
        lambda p: (ACCOUNTS[0], _broker_number(p), p.now),
    ),
    "record_cumulative": (
        "execution",
        "select record_cumulative(%s, %s, null, 1, 70000, 0, 0, %s)",
        lambda p: (ACCOUNTS[0], _client(p), p.now),
    ),
    "expire_due": ("risk", "select expire_due()", lambda _: ()),
    "enforce_modes": ("risk", "select enforce_modes()", lambda _: ()),
    "next_due": ("risk", "select next_due()", lambda _: ()),
    "measure_equity": ("risk", "select run_due_jobs()", lambda _: ()),
    "holdings_fingerprint": ("reconcile", "select holdings_fingerprint(%s)", lambda _: (ACCOUNTS[0],)),
    "accounts_to_reconcile": ("reconcile", "select * from accounts_to_reconcile()", lambda _: ()),
    "reconcile": (
        "reconcile",
        "select reconcile(%s, holdings_fingerprint(%s), '{\"holdings\": {}}')",
        lambda _: (ACCOUNTS[0], ACCOUNTS[0]),
    ),
    "orders_waiting": ("execution", "select * from orders_waiting()", lambda _: ()),
    "paper_match": ("execution", "select paper_match()", lambda _: ()),
    "paper_fills_since": (
        "execution",
        "select * from paper_fills_since('demo', %s, 10)",
        lambda p: (_number(p, "select max(paper_fill_id) - 5 from paper.fills"),),
    ),
    "create_intent": (
        "desk",
        "select create_intent(%s, %s, 'BUY', 1, 60000, 'x')",
        lambda _: (ACCOUNTS[0], STOCK),
    ),
    "cancel_intent": (
        "desk",
        "select cancel_intent(%s, 'x')",
        lambda p: (_number(p, "select max(intent_id) from trade.order_intents where closed_at is null"),),
    ),
    "order_accepted": (
        "execution",
        "select order_accepted(order_id, fence, null) from claim_doubts(%s, 1)",
        lambda p: (p.workers["execution"],),
    ),
}
# These calls run at a later time, when their work is due.
LATER = {"measure_equity", "expire_due", "claim_doubts", "order_accepted", "accounts_to_reconcile"}


def _number(place: Place, query: str) -> Any:
    row = place.db.execute(query.encode()).fetchone()
    assert row
    return row[0]


LIVE = "from trade.orders where status = 'SUBMITTED' and side = 'BUY' order by order_id limit 1"


def _client(place: Place) -> Any:
    return _number(place, f"select client_order_id {LIVE}")


def _broker_number(place: Place) -> Any:
    return _number(place, f"select broker_order_id {LIVE}")


@pytest.mark.parametrize("name", CALLS)
def test_it_reads_no_more_of_a_growing_table_than_it_needs(old_place: Place, name: str) -> None:
    station, query, arguments = CALLS[name]
    conn = old_place.session(station)
    args = arguments(old_place)
    with conn.transaction(force_rollback=True):
        if name in LATER:
            conn.execute("select set_config('aegis.now', '2030-01-01', true)")
        before = {row[0]: row[1:] for row in conn.execute(READ, [list(GROWING)])}
        conn.execute(query.encode(), args)
        after = {row[0]: row[1:] for row in conn.execute(READ, [list(GROWING)])}

    read = {
        table: tuple(now - was for now, was in zip(counts, before.get(table, (0, 0, 0)), strict=True))
        for table, counts in after.items()
    }
    long = {table for table in read if _number(old_place, f"select count(*) from {table}") >= ROWS}
    whole = {table: rows for table, (scans, rows, _) in read.items() if table in long and scans}
    assert whole == {}, "read from end to end"
    assert {table: rows for table, (_, _, rows) in read.items() if rows > FEW} == {}
