"""Upgrading from before quotes were judged per side keeps prices and equities as they were."""

from __future__ import annotations

from decimal import Decimal

from tests.sql.deploy_kit import Folders

PAST = """
insert into trade.accounts (account, broker, broker_account, venue, currency)
values ('old', 'paper', 'old', 'SIM', 'KRW');
insert into trade.balances (account_id, cash) values (1, 0);
insert into trade.cash_entries (account_id, kind, amount, note) values (1, 'deposit', 1500, 'x');
insert into risk.account_equity (account_id, day_start, opening_equity, equity, flows, external, peak) values
(1, now() - interval '1 day', 900, 950, 0, 900, 1000), (1, now(), 950, 1000, 100, 1000, 1100);
insert into market.feeds (feed, venue, source) values ('old', 'SIM', 'sim');
insert into market.instruments (venue, symbol, name, currency, tick_table)
select 'SIM', s, s, 'KRW', 'KRX' from unnest(array['BOTH', 'NO BID', 'CROSSED', 'TRADE', 'SIZE']) as n (t),
    lateral (select replace(n.t, ' ', '-')) as x (s);
insert into market.prices_best (instrument_id, feed, source, bid, bid_size, ask, ask_size, quote_ts,
    received_seq, received_at, is_tradable, mark, last) values
(1, 'old', 'sim', 100, 1, 101, 2, now(), 1, now(), true, 100, null),
(2, 'old', 'sim', 0, 0, 101, 2, now(), 1, now(), false, null, null),
(3, 'old', 'sim', 102, 1, 101, 2, now(), 1, now(), false, 100, null),
(4, 'old', 'sim', null, null, null, null, null, null, null, false, null, 99),
(5, 'old', 'sim', 100, 0, 101, 2, now(), 1, now(), true, 100, null);
"""


def test_prices_and_equities_are_carried_over(tmp_path, new_database):
    folders = Folders.real(tmp_path, new_database())
    later = {path: path.read_text() for path in folders.schema.glob("[0-9]*.sql") if int(path.name[:4]) > 18}
    code = {path: path.read_text() for path in folders.sql.rglob("*.sql")}
    for path in later | code:
        path.unlink()
    folders.deploy()
    folders.conn.execute(PAST.encode())
    for path, text in (later | code).items():
        path.write_text(text)

    folders.deploy()

    sides = folders.conn.execute(
        "select bid, bid_size, ask, ask_size, bid_is_sound, ask_is_sound, mark, last"
        " from market.prices_best order by instrument_id"
    ).fetchall()
    assert sides == [
        (100, 1, 101, 2, True, True, 100, None),
        (None, None, 101, 2, False, False, None, None),
        (102, 1, 101, 2, False, False, 100, None),
        (None, None, None, None, False, False, None, 99),
        (None, None, 101, 2, False, True, 100, None),
    ]
    days = folders.conn.execute(
        "select equity, peak, day_pnl, day_pnl_rate, drawdown from api.performance order by day_start"
    ).fetchall()
    assert days[0] == (950, 1000, 50, Decimal("0.055556"), Decimal("0.05"))
    # 500 arrived after the last measurement: a flow of the day, so neither profit nor a new peak.
    assert days[1] == (1500, 1600, -50, Decimal("-0.032258"), Decimal("0.0625"))
