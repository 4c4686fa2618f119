"""An older database keeps its past when it is migrated: what it holds, what that cost, what was told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.sql.deploy_kit import Folders

# What version 8 kept of three positions: thirds held, thirds sold, and one that a bust left.
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
    """A database of version 8 with that past; its folders hold what ships now."""
    folders = Folders.real(tmp_path, new_database())
    later = {path: path.read_text() for path in folders.schema.glob("*.sql") if int(path.name[:4]) > 8}
    code = {path: path.read_text() for path in folders.sql.glob("*.sql")}
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
