"""When the paper broker fills an order: at a sound price it reaches, from the size that a quote showed."""

import pytest

WAITING = "select exists (select from trade.fills_waiting where is_known)"
ORDER = """
insert into paper.orders (client_order_id, account, instrument_id, side, order_type, quantity, limit_price)
select 'a', 'demo', i.instrument_id, %s, 'LIMIT', 9, 100 from market.instruments as i
"""


def furnished(login):
    """Add one account at the paper broker and one symbol; return the session of its feed."""
    desk, feed = login("aegis_desk"), login("aegis_w_price_sync")
    desk.execute("select add_account('demo', 'paper', 'SIM', 'KRW')")
    desk.execute("select add_instrument('SIM', 'A', 'A', 'KRW', 'KRX', 1)")
    feed.execute("select open_feed('sim', 'SIM', 'sim')")
    return feed


def waiting(db):
    return db.execute(WAITING).fetchone()[0]


@pytest.mark.parametrize(
    ("ask", "size", "side", "expected"),
    [(100, 5, "BUY", True), (101, 5, "BUY", False), (100, 5, "SELL", False), (100, 0, "BUY", False)],
)
def test_an_open_order_may_have_news_at_a_price_it_trades_at(db, login, ask, size, side, expected):
    feed = furnished(login)
    db.execute(ORDER, [side])
    assert waiting(db) is False, "there is no price yet"

    feed.execute(
        "select ingest_quotes('sim', '{A}', array[clock_timestamp()], '{1}', '{99}', '{5}',"
        " array[%s]::numeric[], array[%s]::numeric[])",
        [ask, size],
    )

    assert waiting(db) is expected
    (reached,) = feed.execute("select prices_reach('{A}')").fetchone()
    assert reached is expected


def test_each_quotes_size_counts_once(db, login):
    feed = furnished(login)
    db.execute(ORDER, ["BUY"])
    feed.execute(
        "select ingest_quotes('sim', '{A}', array[clock_timestamp()], '{1}', '{99}', '{5}', '{100}', '{5}')"
    )
    assert waiting(db) is True

    assert db.execute("select api.paper_match()").fetchone() == (1,)
    db.execute("update trade.accounts set fills_cursor = (select max(paper_fill_id)::text from paper.fills)")

    assert waiting(db) is False, "the rest waits for another quote"
    assert db.execute("select api.paper_match()").fetchone() == (0,)


def test_an_unsound_side_fills_nothing(db, login):
    feed = furnished(login)
    db.execute(ORDER, ["BUY"])

    feed.execute(
        "select ingest_quotes('sim', '{A}', array[clock_timestamp()], '{1}', '{101}', '{5}', '{100}', '{5}')"
    )

    assert waiting(db) is False
    assert db.execute("select api.paper_match()").fetchone() == (0,)
