"""L7: a report that matches nothing is kept as an incident, whatever it says, and changes nothing."""

import random

import pytest

from tests.sql.laws.fills.fills_kit import report
from tests.sql.laws.market_kit import refusal
from workers.runtime.errors import NotFound


@pytest.fixture
def order(kit):
    """A buy of ten at the broker."""
    return kit.live_order("BUY", 10, 70_000)


# -- fills that match nothing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        {"client_order_id": "not ours"},
        {"client_order_id": None, "broker_order_id": "not ours"},
        {"client_order_id": None},
        {"quantity": 0},
        {"quantity": -1},
        {"quantity": None},
        {"quantity": "NaN"},
        {"quantity": "Infinity"},
        {"price": 0},
        {"price": -1},
        {"price": None},
        {"price": "NaN"},
        {"price": "Infinity"},
        {"fee": "NaN"},
        {"tax": "Infinity"},
        {"fill_id": None},
        {"fill_id": "F" * 201},
    ],
    ids=str,
)
def test_a_fill_that_fits_nothing_is_kept_as_an_incident(kit, order, odd):
    said = {"client_order_id": order.client_order_id, "fill_id": "F"} | odd

    assert report(kit, **said) == "UNMATCHED"

    assert kit.incidents() == [("unmatched_fill", True)]
    assert kit.position() is None
    assert kit.balance().cash == 100_000_000
    assert kit.audit() == []


@pytest.mark.parametrize("missing", ["fee", "tax", "at"])
def test_a_fill_with_something_missing_still_counts(kit, order, missing):
    assert report(kit, order.client_order_id, "F", **{missing: None}) == "RECORDED"

    assert kit.position().qty == 1
    assert kit.audit() == []


def test_two_fills_that_fit_nothing_are_two_incidents(kit):
    report(kit, "not ours", "F1")
    report(kit, "not ours", "F2")
    report(kit, "not ours", "F2")
    report(kit, "nor this", "F2")
    report(kit, "nor this", "")

    assert kit.incidents() == [("unmatched_fill", True)] * 4


@pytest.mark.parametrize("odd", ["fill_id", "client_order_id"])
def test_numbers_of_any_length_are_kept_as_an_incident(kit, order, odd):
    """Ids longer than an index entry allows, and not compressible."""
    long = random.Random(7).randbytes(5_000).hex()
    said = {"client_order_id": order.client_order_id, "fill_id": "F"} | {odd: long}

    assert report(kit, **said) == "UNMATCHED"

    assert kit.incidents() == [("unmatched_fill", True)]
    (event,) = kit.events("incident")
    (cut,) = [value for value in event.data["detail"].values() if long[:200] in str(value)]
    assert f"({len(long) + 2} bytes, md5" in cut, "bounded, and it says what is missing"


def test_of_a_fill_that_fits_nothing_every_report_is_kept(kit):
    report(kit, "not ours", "F", price=70_000)
    report(kit, "not ours", "F", price=70_000)
    report(kit, "not ours", "F", price=71_000)

    opened = [(event.change, event.data["detail"]["price"]) for event in kit.events("incident")]
    assert opened == [("opened", 70_000), ("opened", 71_000)]


def test_a_fill_of_another_account_does_not_touch_ours(kit, order):
    kit.add_account("second")

    assert report(kit, order.client_order_id, "F", account="second") == "UNMATCHED"
    assert kit.position() is None


def test_a_fill_is_found_by_the_brokers_number_where_ours_is_not_reported(kit, order):
    assert report(kit, None, "F", broker_order_id=f"B{order.order_id}") == "RECORDED"


def test_a_fill_of_an_account_nobody_added_is_refused(kit, order):
    with pytest.raises(NotFound):
        report(kit, order.client_order_id, "F", account="nobody")


pytestmark = pytest.mark.usefixtures("laws_hold")


# -- reports that match nothing ----------------------------------------------------------------------------


def test_each_different_fact_that_fits_nothing_is_kept_and_repeats_are_counted(kit):
    for quantity in (1, 2, 1, 3, 2, 1):
        query = "select record_fill('demo', 'nobody', null, 'F', %s, 1, 0, 0, null)"
        assert kit.call("execution", query, quantity) == "UNMATCHED"

    kept = kit.rows("desk", "select facts, times from unmatched_fills order by unmatched_fill_id")
    assert [(row.facts["quantity"], row.times) for row in kept] == [(1, 3), (2, 2), (3, 1)]
    subjects = kit.rows(kit.db, "select subject from risk.incidents order by 1")
    assert [row.subject for row in subjects] == ["demo/nobody/F", "demo/nobody/F (2)", "demo/nobody/F (3)"]


def test_a_fact_of_any_length_is_kept_in_little_room(kit):
    query = "select record_fill('demo', 'nobody', null, repeat(%s, 1000000), 1, 1, 0, 0, null)"
    for letter in "ab":
        kit.call("execution", query, letter)

    kept = kit.rows("desk", "select length(facts::text) as size from unmatched_fills")
    assert len(kept) == 2
    assert all(row.size < 2_000 for row in kept)


def test_what_fits_nothing_is_never_removed(kit):
    kit.call("execution", "select record_fill('demo', 'nobody', null, 'F', 1, 1, 0, 0, null)")

    for query in ("delete from trade.unmatched_fills", "truncate trade.unmatched_fills"):
        assert refusal(lambda q=query: kit.db.execute(q.encode())) == "TRL02"
