"""An exit fires once at its trigger, and skips a position that another session has locked."""

import pytest

from tests.sql.laws.exits.exits_kit import fire, guard
from tests.sql.laws.market_kit import OTHER

# -- when exits fire ---------------------------------------------------------------------------------------


def test_a_fill_arms_stop_and_target_around_the_average_price(kit, held):
    row = guard(kit)

    assert (row.stop_price, row.take_price, row.is_armed) == (67_900, 74_200, True)


def test_each_further_fill_moves_them(kit, held):
    kit.hold(10, 72_000, owner="momo")

    assert guard(kit).stop_price == 68_800  # 71,000 less 3 % is 68,870, down to a tick


@pytest.mark.parametrize(
    ("bid", "reason"),
    [(67_900, "STOP_LOSS"), (60_000, "STOP_LOSS"), (74_200, "TAKE_PROFIT"), (90_000, "TAKE_PROFIT")],
)
def test_a_bid_at_or_beyond_a_trigger_sells_all_of_it(kit, held, bid, reason):
    kit.quote(bid, bid + 100)

    assert fire(kit) == 1

    row = kit.intent_row(held + 1)
    assert (row.intent_type, row.side, row.reason, row.quantity) == ("EXIT", "SELL", reason, 10)
    assert kit.position("momo").locked_qty == 10


def test_of_a_stop_and_a_target_reached_at_once_the_stop_gives_the_reason(kit, held):
    kit.db.execute("update trade.position_exits set stop_price = 70000, take_price = 70000")
    kit.quote(70_000, 70_100)

    assert fire(kit) == 1
    assert kit.intent_row(held + 1).reason == "STOP_LOSS"


@pytest.mark.parametrize("bid", [68_000, 70_000, 74_100])
def test_a_bid_between_the_triggers_sells_nothing(kit, held, bid):
    kit.quote(bid, bid + 100)

    assert fire(kit) == 0


def test_an_exit_fires_once_however_often_it_is_asked(kit, held):
    kit.quote(60_000, 60_100)

    assert [fire(kit) for _ in range(3)] == [1, 0, 0]
    assert (
        len([e for e in kit.events("intent") if e.data["intent_type"] == "EXIT" and e.change == "NEW"]) == 1
    )


def test_an_exit_fires_once_by_many_sessions_at_once(kit, held):
    kit.quote(60_000, 60_100)
    conns = [kit.connect("exits") for _ in range(6)]

    futures = [kit.pool.submit(fire, kit, None, conn) for conn in conns]

    assert sum(future.result(20) for future in futures) == 1
    assert kit.position("momo").locked_qty == 10
    assert kit.audit() == []


def test_only_the_symbols_asked_for_fire(kit, held):
    kit.quote(60_000, 60_100)

    assert fire(kit, [OTHER]) == 0
    assert fire(kit, ["005930"]) == 1


def test_what_belongs_to_a_person_has_no_exits(kit):
    kit.hold(10)
    kit.quote(1_000, 1_001)

    assert fire(kit) == 0


def test_exits_do_not_fire_in_a_phase_that_forbids_it(kit, held):
    kit.quote(60_000, 60_100)
    kit.db.execute("update market.session_phases set exits_fire = false")

    assert fire(kit) == 0


def test_exits_do_not_fire_on_a_closed_day(kit, held):
    kit.quote(60_000, 60_100)
    kit.db.execute("insert into market.sessions values ('SIM', '2026-03-02', false, 'holiday')")

    assert fire(kit) == 0


# -- locked positions are skipped --------------------------------------------------------------------------


def test_a_position_locked_by_another_session_is_skipped_and_the_rest_fires(kit, held):
    kit.hold(10, owner="momo", symbol=OTHER)
    kit.quotes([("005930", kit.now, 900, 60_000, 9, 60_100, 9), (OTHER, kit.now, 901, 60_000, 9, 60_100, 9)])
    other = kit.connect("superuser")
    with other.transaction():
        other.execute("select from trade.positions where instrument_id = 1 for update")
        kit.at("exits").execute("set lock_timeout = '2s'")
        assert fire(kit) == 1
        assert kit.position("momo", OTHER).locked_qty == 10

    assert fire(kit) == 1, "it is due again at once"
