"""A migration keeps the past of an older database: holdings, their cost, and events."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.sql.deploy_kit import Folders

# Three positions as version 8 stored them: thirds held, thirds sold, and one left by a bust.
PAST = """
insert into trade.accounts (account, broker, broker_account, venue, currency)
values ('old', 'paper', 'old', 'SIM', 'KRW');
insert into trade.balances (account_id) values (1);
insert into market.instruments (venue, symbol, name, currency, tick_table, lot_size)
select 'SIM', s, s, 'KRW', 'KRX', 1 from unnest(array['HELD', 'SOLD', 'BUST']) as s;
insert into trade.positions (account_id, instrument_id, owner, qty, avg_price, realized_pnl, opened_at) values
(1, 1, 'manual', 3, 70066.666666666667, -1, now()),
(1, 2, 'manual', 0, 0, 99.999999999998, null),
(1, 3, 'manual', 0, 0, 0, null);
insert into trade.order_intents (account_id, instrument_id, owner, intent_type, side, reason, quantity,
    worst_price, status, reserved_qty, reserved_cash, filled_qty, idempotency_key, request, expires_at,
    closed_at)
select 1, n, 'manual', 'MANUAL', 'BUY', 'old', 3, 80000, 'FILLED', 0, 0, 3, n, '{}', now(), now()
from generate_series(1, 3) as n;
insert into trade.orders (intent_id, account_id, instrument_id, side, client_order_id, status, quantity,
    limit_price, filled_qty, send_before, closed_at)
select n, 1, n, 'BUY', 'old-' || n, 'FILLED', 3, 80000, 3, now(), now() from generate_series(1, 3) as n;
insert into trade.fills (order_id, intent_id, account_id, instrument_id, owner, side, trade_date,
    broker_fill_id, quantity, price, fee, tax, realized_pnl, filled_at) values
(1, 1, 1, 1, 'manual', 'BUY', '2026-01-05', 'H', 3, 70066.6666666666666667, 1, 0, -1, now()),
(2, 2, 1, 2, 'manual', 'BUY', '2026-01-05', 'B', 3, 70066.6666666666666667, 0, 0, 0, now()),
(2, 2, 1, 2, 'manual', 'SELL', '2026-01-05', 'S', 3, 70100, 0, 0, 99.999999999998, now()),
(3, 3, 1, 3, 'manual', 'BUY', '2026-01-05', 'X', 3, 70000, 0, 0, 0, now());
insert into trade.cash_entries (account_id, kind, amount, fill_id) values
(1, 'fill', -210200, 1), (1, 'fee', -1, 1), (1, 'fill', -210200, 2), (1, 'fill', 210300, 3),
(1, 'fill', -210000, 4);
insert into trade.reconciliations (account_id, instrument_id, owner, quantity, price, reason)
values (1, 3, 'manual', -3, 70000, 'bust: wrong');
insert into trade.busts (fill_id, reconciliation_id, reason) values (4, 1, 'wrong');
insert into bus.events (generation, cause, entity, change, data) values (1, 'old', 'test', 'told', '{}');
"""


@pytest.fixture
def old(tmp_path, new_database):
    """A database of version 8 with that data; its folders hold the current files."""
    folders = Folders.real(tmp_path, new_database())
    later = {path: path.read_text() for path in folders.schema.glob("[0-9]*.sql") if int(path.name[:4]) > 8}
    code = {path: path.read_text() for path in folders.sql.rglob("*.sql")}
    for path in later | code:
        path.unlink()
    folders.deploy()
    folders.conn.execute(PAST.encode())
    for path, text in (later | code).items():
        path.write_text(text)
    return folders


def test_costs_follow_from_the_money_that_moved(old):
    old.deploy()

    rows = old.conn.execute(
        "select qty, cost, realized_pnl from trade.positions order by instrument_id"
    ).fetchall()
    assert rows == [(3, 210_200, -1), (0, 0, 100), (0, 0, 0)]
    average = old.value("select avg_price from trade.positions where qty > 0")
    assert average == pytest.approx(Decimal(210_200) / 3, rel=Decimal("1e-15"))
    earned = "select count(*) from api.law_audit where violation like '%has earned%'"
    assert old.value(earned) == 0


def test_the_first_events_become_the_first_partition(old):
    old.deploy()

    assert old.value("select count(*) from bus.events_from_0 where change = 'told'") == 1
    assert old.value("select count(*) from bus.events_default") == 0
    assert old.value("select api.make_partitions()") == 2


def test_a_database_whose_partitions_came_late_keeps_its_events_where_they_are(old):
    old.conn.execute(
        "insert into bus.events (event_id, generation, cause, entity, change, data) overriding system value"
        " values (10000000, 1, 'old', 'test', 'late', '{}')"
    )

    old.deploy()

    assert old.value("select count(*) from bus.events_default") == 2
    assert old.value("select api.make_partitions()") == 2


# Values version 8 accepted that cannot be used: NaN, Infinity, numbers of endless digits, huge reasons.
ODD = """
insert into strategy.strategies (strategy, class, account_id, symbols, budget, order_notional, exit_profile,
    status)
values ('odd', 'x:Y', 1, array['HELD'], 'NaN', 'Infinity', 'swing', 'RUNNING'),
       ('even', 'x:Y', 1, array['HELD'], 1000, 100, 'swing', 'RUNNING');
insert into risk.limits (account_id, limit_name, value) values (1, 'max_position_share', 'NaN');
update market.instruments set lot_size = 'Infinity' where symbol = 'BUST';
insert into strategy.picks (strategy, account_id, instrument_id, intent_type, side, quantity, limit_price,
    reason, idempotency_key, request, expires_at)
values
('odd', 1, 1, 'ENTRY', 'BUY', 1, repeat('9', 131072)::numeric, '', 'k', '{}', now() + interval '1 hour'),
('even', 1, 1, 'ENTRY', 'BUY', 1, 100, repeat('x', 100000), 'k', '{}', now() - interval '1 hour');
insert into trade.order_intents (account_id, instrument_id, owner, intent_type, side, reason, quantity,
    worst_price, status, reserved_qty, reserved_cash, idempotency_key, request, expires_at)
select 1, 1, 'manual', 'MANUAL', 'BUY', reason, quantity, 1, 'NEW', 0, quantity, 'exit:' || reason, '{}',
    now()
from (values (repeat('x', 10000), 1), ('tiny', ('1.' || repeat('0', 100) || '1')::numeric))
    as i (reason, quantity);
update trade.balances set locked_cash = 3, cash = 3;
insert into market.feeds (feed, venue, source) values ('odd', 'SIM', 'sim');
insert into market.prices_best (instrument_id, feed, source, bid, bid_size, ask, ask_size, received_at,
    is_tradable)
values (1, 'odd', 'sim', repeat('9', 131072)::numeric, 1, repeat('9', 131072)::numeric, 1, now(), true);
"""


def test_what_no_bound_knows_is_on_the_strict_side_and_stops_nothing(old):
    old.conn.execute(ODD.encode())

    old.deploy()

    strategies = "select strategy, status, budget, order_notional from strategy.strategies order by 1 desc"
    assert old.conn.execute(strategies).fetchall() == [
        ("odd", "STOPPED", 1, 1),
        ("even", "RUNNING", 1000, 100),
    ]
    assert old.value("select value from risk.limits where limit_name = 'max_position_share'") == 0
    assert not old.value("select is_active from market.instruments where symbol = 'BUST'")
    assert old.value("select array_agg(status order by pick_id) from strategy.picks") == ["EXPIRED", "NEW"]
    assert old.value("select max(octet_length(reason)) from trade.order_intents") == 500
    assert old.value("select api.expire_due()") == 3
    assert old.value("select count(*) from trade.order_intents where status = 'EXPIRED'") == 2
    assert old.value("select api.measure_equity()") == 1
    assert old.value("select count(*) from risk.incidents where kind = 'failed_item'") == 0
