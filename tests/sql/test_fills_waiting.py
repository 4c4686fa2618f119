"""Whose fills are read: a broker's row may name a view that says which of its accounts have some."""

from __future__ import annotations

import psycopg
import pytest

from cli.database.errors import MigrationError
from tests.sql.deploy_kit import Folders

FILLS = "select fills from api.orders_waiting()"
ROW = "insert into trade.brokers (broker, is_real, fills_view)"
READ = "update trade.accounts set fills_cursor = '1'"
NEW_VIEW = """
create or replace view trade.corner_fills as
select a.account_id
from trade.accounts as a
where a.account = 'busy';

comment on view trade.corner_fills is 'For a test.';
"""


@pytest.fixture
def paper(db, login):
    """One account at the paper broker, with one order that is filled and read."""
    desk = login("aegis_desk")
    desk.execute("select add_account('demo', 'paper', 'SIM', 'KRW')")
    desk.execute("select add_instrument('SIM', 'A', 'A', 'KRW', 'KRX', 1)")
    db.execute(
        "insert into paper.orders (client_order_id, account, instrument_id, side, order_type, quantity,"
        " limit_price, filled_qty, status) values ('1', 'demo', 1, 'BUY', 'LIMIT', 1, 1, 1, 'FILLED')"
    )
    db.execute(
        "insert into paper.fills (paper_order_id, account, quantity, price, fee, tax)"
        " values (1, 'demo', 1, 1, 0, 0)"
    )
    db.execute(READ)
    return db


def waiting(conn):
    return conn.execute(FILLS).fetchone()[0]


def test_nothing_waits_at_the_paper_broker_when_all_is_read_and_nothing_open(paper):
    assert waiting(paper) is False


@pytest.mark.parametrize(
    "news",
    [
        "update trade.accounts set fills_cursor = '0'",
        "update trade.accounts set fills_cursor = 'no number'",
    ],
    ids=["a fill is unread", "a cursor of another kind"],
)
def test_the_paper_broker_may_have_news(paper, news):
    paper.execute(news)

    assert waiting(paper) is True


def test_any_other_broker_may_have_news_at_any_time(paper):
    paper.execute("insert into trade.brokers (broker, is_real) values ('corner', false)")
    assert waiting(paper) is False, "it has no account"

    paper.execute(
        "insert into trade.accounts (account, broker, broker_account, venue, currency)"
        " values ('mine', 'corner', 'mine', 'SIM', 'KRW')"
    )

    assert waiting(paper) is True


@pytest.mark.parametrize("view", ["null", "'trade.later'"])
def test_a_row_that_was_changed_since_the_deployment_is_asked_too_often_rather_than_never(paper, view):
    paper.execute(f"update trade.brokers set fills_view = {view}")

    assert waiting(paper) is True


def test_a_view_that_is_named_is_obeyed_from_the_next_deployment(tmp_path, new_database):
    folders = Folders.real(tmp_path, new_database())
    folders.deploy()
    folders.conn.execute(
        f"{ROW} values ('corner', false, 'trade.corner_fills');"
        "insert into trade.accounts (account, broker, broker_account, venue, currency)"
        " values ('idle', 'corner', 'idle', 'SIM', 'KRW')"
    )
    assert folders.value(FILLS) is True
    (folders.sql / "40_trade" / "99_corner.sql").write_text(NEW_VIEW)

    folders.deploy()

    assert folders.value(FILLS) is False
    folders.conn.execute("update trade.accounts set account = 'busy'")
    assert folders.value(FILLS) is True


@pytest.mark.parametrize(
    "view", ["trade.no_such_view", "trade.order_refs"], ids=["missing", "without the column"]
)
def test_a_view_that_cannot_be_read_fails_the_deployment(tmp_path, new_database, view):
    folders = Folders.real(tmp_path, new_database())
    folders.migration(
        "9000_corner.sql",
        f"{ROW} values ('corner', false, '{view}');",
    )

    with pytest.raises(MigrationError) as refused:
        folders.deploy()

    said = f"broker corner names {view}, which is no view with a column account_id of type bigint"
    assert str(refused.value) == f"sql/75_watch/50_work_waiting.sql: {said}"
    assert "before 75_watch" in refused.value.hint


def test_a_view_that_is_no_longer_defined_fails_the_deployment(tmp_path, new_database):
    folders = Folders.real(tmp_path, new_database())
    reports = folders.sql / "70_paper" / "30_reports.sql"
    whole = reports.read_text()
    folders.deploy()
    begin = whole.index("create or replace view paper.fills_waiting")
    reports.write_text(whole[:begin] + whole[whole.index("create or replace function api.paper_snapshot") :])

    with pytest.raises(MigrationError, match=r"broker paper names paper\.fills_waiting"):
        folders.deploy()


@pytest.mark.parametrize(
    ("column", "value"),
    [("broker", "Corner"), ("broker", "cor-ner"), ("fills_view", "fills"), ("fills_view", "a.b; drop")],
)
def test_names_in_the_row_of_a_broker_are_plain(db, column, value):
    row = {"broker": "corner", "fills_view": None, column: value}

    with pytest.raises(psycopg.errors.CheckViolation, match=f"brokers_{column}_plain"):
        db.execute(f"{ROW} values (%(broker)s, false, %(fills_view)s)", row)
