"""Exits fire once, wait for no lock and are armed again after a failure; expiry and cancels end intents."""

import pytest

from tests.sql.laws.market_kit import OTHER, refusal


def fire(kit, symbols=None, by="exits"):
    return kit.call(by, "select fire_exits(%s::text[])", symbols)


def guard(kit, owner="momo", symbol="005930"):
    return kit.look(
        "select e.* from trade.position_exits e join market.instruments i using (instrument_id)"
        " where owner = %s and symbol = %s",
        owner,
        symbol,
    )


@pytest.fixture
def held(kit):
    """Ten shares of a strategy, bought at 70,000; profile swing has its stop at -3 % and target at +6 %."""
    kit.add_strategy()
    return kit.hold(10, owner="momo")


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


# -- when an exit fails ------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["rejected", "cancelled", "expired"])
def test_a_failed_exit_leaves_the_position_armed_and_fires_again(kit, held, failure):
    kit.quote(60_000, 60_100)
    fire(kit)
    if failure == "expired":
        kit.advance(seconds=10)
        kit.call("risk", "select expire_due()")
        kit.quote(60_000, 60_100)
    else:
        order = kit.claim_one()
        answer = {
            "rejected": "order_rejected(%s, %s, 'X', 'no', false)",
            "cancelled": "order_cancelled(%s, %s, 0)",
        }
        kit.call("execution", f"select {answer[failure]}", order.order_id, order.fence)
        kit.advance(seconds=61)  # longer than any pause after a failure
        kit.quote(60_000, 60_100)

    assert guard(kit).is_armed
    assert kit.position("momo").locked_qty == 0
    assert fire(kit) == 1
    assert kit.audit() == []


def test_the_rest_of_a_partly_filled_exit_fires_again(kit, held):
    kit.quote(60_000, 60_100)
    fire(kit)
    order = kit.claim_one()
    kit.fill(order, 4, 60_000)
    kit.call("execution", "select order_cancelled(%s, %s, 4)", order.order_id, order.fence)

    assert fire(kit) == 1
    assert kit.position("momo").locked_qty == 6


def test_a_flat_position_is_disarmed(kit, held):
    kit.quote(60_000, 60_100)
    fire(kit)
    order = kit.claim_one()
    kit.fill(order, 10, 60_000)

    assert not guard(kit).is_armed
    assert fire(kit) == 0


def test_a_refused_exit_says_why_once(kit, held):
    kit.quote(60_000, 60_100)
    kit.db.execute("update risk.mode_rules set verdict = 'DENY' where action = 'PROTECTIVE_SELL'")

    assert [fire(kit) for _ in range(3)] == [0, 0, 0]

    assert guard(kit).note.startswith("TRM01")
    assert len(kit.events("refusal")) == 1
    kit.db.execute("update risk.mode_rules set verdict = 'ALLOW' where action = 'PROTECTIVE_SELL'")
    assert fire(kit) == 1


# -- expiry and cancels ------------------------------------------------------------------------------------


def expire(kit):
    return kit.call("risk", "select expire_due()")


def test_a_waiting_intent_ends_at_its_time_and_not_before(kit):
    intent_id = kit.buy(1)
    kit.advance(seconds=59)
    assert expire(kit) == 0
    kit.advance(seconds=1)

    assert expire(kit) == 1
    assert kit.intent_row(intent_id).status == "EXPIRED"
    assert expire(kit) == 0


def test_a_live_order_past_its_time_is_asked_to_cancel_once(kit):
    order = kit.live_order("BUY", 1, 70_000)
    kit.advance(seconds=60)

    assert [expire(kit), expire(kit)] == [1, 0]
    assert kit.order(order.order_id).cancel_requested_at is not None
    kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)
    assert kit.intent_row(1).status == "EXPIRED"


def test_cancelling_says_what_it_did(kit):
    waiting = kit.buy(1)
    cancel = "select cancel_intent(%s, 'test')"

    assert kit.call("desk", cancel, waiting) == "cancelled"
    assert kit.call("desk", cancel, waiting) == "it had already ended"
    kit.live_order("BUY", 1, 70_000)
    assert kit.call("desk", cancel, waiting + 1) == "a cancel of its order was requested"
    assert refusal(lambda: kit.call("desk", cancel, 999)) == "TRI02"


def test_an_approval_and_an_expiry_at_once_leave_one_of_them(kit):
    intent_id = kit.insert_intent(status="PENDING_APPROVAL")
    kit.advance(seconds=60)
    desk, risk = kit.connect("desk"), kit.connect("risk")
    with risk.transaction():
        assert kit.call(risk, "select expire_due()") == 1
        late = kit.background(desk, "select approve(%s, 'yes')", intent_id)
        kit.wait_for_lock(desk)

    assert refusal(lambda: late.result(20)) == "TRL01"
    assert kit.intent_row(intent_id).status == "EXPIRED"
    assert kit.audit() == []


def test_the_tables_know_when_something_is_due(kit):
    assert kit.call("risk", "select next_due()") is None
    kit.buy(1)

    assert kit.call("risk", "select next_due()").total_seconds() == 60
    kit.claim_one()
    assert kit.call("risk", "select next_due()").total_seconds() == 1


# -- when the broker rejects it ----------------------------------------------------------------------------


def refuse(kit):
    order = kit.claim_one()
    kit.call(
        "execution",
        "select order_rejected(%s, %s, 'APBK0400', 'not sellable', false)",
        order.order_id,
        order.fence,
    )


def test_a_definitely_refused_exit_does_not_fire_in_a_loop(kit, held):
    kit.quote(60_000, 60_100)
    assert fire(kit) == 1
    refuse(kit)

    kit.quote(59_900, 60_000)
    assert fire(kit) == 0

    kit.advance(seconds=5)
    kit.quote(59_900, 60_000)
    assert fire(kit) == 1


def test_it_waits_twice_as_long_after_each_refusal_and_a_person_is_told(kit, held):
    for wait in (5, 10, 20):
        kit.quote(60_000, 60_100)
        assert fire(kit) == 1
        refuse(kit)
        kit.advance(seconds=wait - 1)
        kit.quote(60_000, 60_100)
        assert fire(kit) == 0
        kit.advance(seconds=1)

    assert [kind for kind, _ in kit.incidents()] == ["rejected_exit"]


def test_a_person_closes_an_incident_and_it_comes_back_when_it_is_seen_again(kit, held):
    kit.quote(60_000, 60_100)
    fire(kit)
    refuse(kit)
    incident = kit.call("desk", "select incident_id from incidents where closed_at is null")

    kit.call("desk", "select close_incident(%s, 'the broker was told')", incident)
    assert kit.call("desk", "select count(*) from incidents where closed_at is null") == 0

    kit.advance(seconds=5)
    kit.quote(60_000, 60_100)
    fire(kit)
    refuse(kit)
    assert kit.call("desk", "select count(*) from incidents where closed_at is null") == 1


def test_a_breach_is_not_closed_by_hand(kit):
    kit.live_order("BUY", 10, 70_000)
    kit.move_cash(-kit.balance().cash)
    breach = kit.call("desk", "select incident_id from incidents where closed_at is null")

    assert breach
    assert refusal(lambda: kit.call("desk", "select close_incident(%s, 'never mind')", breach)) == "TRI02"
