"""L9: an outage is recorded once writes work again, with the exits that fired late."""

import datetime as dt

import pytest

from tests.sql.laws.market_kit import OTHER, SYMBOL
from tests.sql.laws.watch.watch_kit import READ_ONLY, RECORD, report, seconds
from workers.runtime.errors import BadInput, NotAllowed

LATE = "select record_late_exits(%s, 'sim', %s::text[], %s::timestamptz[], %s::numeric[])"
INCIDENT = "select * from incidents where kind = 'outage'"


def test_reports_of_one_time_are_one_incident(kit, worker):
    exits, risk = worker("exits"), worker("risk")

    first = report(kit, "exits", exits, 44, 43)
    second = report(kit, "risk", risk, 46, 44)

    (incident,) = kit.rows("desk", INCIDENT)
    assert first == second
    assert [reporter["worker"] for reporter in incident.detail["workers"]] == ["risk", "exits"]
    assert incident.detail["message"] == (
        "exits, risk could not write for 45.0 s until 00:59:59 UTC: the database is read-only"
    )
    assert incident.closed_at is None


def test_a_report_that_is_made_again_counts_once(kit, worker):
    exits = worker("exits")

    report(kit, "exits", exits, 44, 43)
    kit.advance(seconds=0.5)
    report(kit, "exits", exits, 44.5, 44.5)

    (incident,) = kit.rows("desk", INCIDENT)
    assert len(incident.detail["workers"]) == 1


def test_what_comes_again_within_minutes_is_the_same_incident_and_only_its_own_time_counts(kit, worker):
    exits = worker("exits")
    report(kit, "exits", exits, 10, 10)

    kit.advance(minutes=5)
    report(kit, "exits", exits, 5, 5)

    (incident,) = kit.rows("desk", INCIDENT)
    assert "could not write for 15.0 s until 01:05:00 UTC" in incident.detail["message"]


def test_an_outage_of_another_day_is_another_incident(kit, worker):
    exits = worker("exits")
    report(kit, "exits", exits, 44, 43)

    kit.advance(hours=3)
    report(kit, "exits", exits, 20, 20)

    assert len(kit.rows("desk", INCIDENT)) == 2


def test_reports_that_come_together_wait_for_each_other(kit, worker):
    exits, risk = worker("exits"), worker("risk")
    second = kit.connect("risk")
    with kit.at("exits").transaction():
        report(kit, "exits", exits, 44, 44)
        late = kit.background(second, RECORD, risk, seconds(44), seconds(44), 1, READ_ONLY)
        kit.wait_for_lock(second)

    late.result(20)
    assert len(kit.rows("desk", INCIDENT)) == 1


def test_an_exit_that_fired_late_is_named_with_how_late(kit, worker):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    feed = worker("feed")
    kit.advance(seconds=60)
    outage = report(kit, "feed", feed, 46, 46)
    bids = [70_000, 60_000, 61_000, 70_000]
    times = [kit.now - seconds(ago) for ago in (50, 46, 40, 30)]

    count = kit.call("feed", LATE, outage, [SYMBOL, SYMBOL, SYMBOL, OTHER], times, bids)
    kit.quote(60_000, 60_100)
    assert kit.call("exits", "select fire_exits()") == 1
    kit.call("risk", "select watch_workers()")

    (incident,) = kit.rows("desk", INCIDENT)
    (late,) = incident.detail["late_exits"]
    assert count == 1
    assert (late["symbol"], late["owner"], late["reason"], late["price"]) == (
        SYMBOL,
        "momo",
        "STOP_LOSS",
        60_000,
    )
    assert late["late_s"] == pytest.approx(46)
    assert incident.detail["message"].endswith("; 1 exits fired late, by up to 46.000 s")


def test_a_recording_s_times_of_another_day_say_nothing(kit, worker):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    outage = report(kit, "feed", worker("feed"), 46, 46)

    assert kit.call("feed", LATE, outage, [SYMBOL], [kit.now - dt.timedelta(days=90)], [60_000]) == 0


@pytest.mark.parametrize(
    ("ago", "lasted", "failures", "reason"),
    [
        (None, "1 s", 1, "x"),
        ("1 s", None, 1, "x"),
        ("-1 s", "1 s", 1, "x"),
        ("1 s", "1 s", None, "x"),
        ("1 s", "1 s", 1, None),
        ("1 s", "1 s", 1, "x" * 10_001),
    ],
)
def test_an_outage_without_a_time_or_a_reason_is_refused(kit, worker, ago, lasted, failures, reason):
    exits = worker("exits")

    with pytest.raises(BadInput):
        kit.call(
            "exits",
            "select record_outage(%s, %s::interval, %s::interval, %s, %s)",
            exits,
            ago,
            lasted,
            failures,
            reason,
        )


def test_an_outage_never_lies_in_the_future_nor_before_the_last_month(kit, worker):
    exits = worker("exits")

    kit.call("exits", "select record_outage(%s, '900 years', '1000 years', 1, 'x')", exits)

    (incident,) = kit.rows("desk", INCIDENT)
    assert dt.datetime.fromisoformat(incident.detail["from"]) == kit.now - dt.timedelta(days=30)
    assert dt.datetime.fromisoformat(incident.detail["until"]) == kit.now


def test_nobody_reports_for_another_worker(kit, worker):
    exits = worker("exits")

    with pytest.raises(NotAllowed):
        report(kit, "risk", exits, 10, 10)
