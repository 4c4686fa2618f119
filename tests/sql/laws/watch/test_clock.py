"""A clock set back: old prices are not fresh, no wait grows longer, and the audit reports nothing false."""

from __future__ import annotations

import pytest

from tests.sql.laws.market_kit import refusal

CODE = "tulip-4711"


def test_a_price_of_before_the_clock_was_put_back_is_not_fresh(kit):
    kit.hold(10)

    kit.advance(hours=-1)

    assert kit.call(kit.db, "select bool_or(is_fresh) from market.quotes_now") is False
    assert refusal(lambda: kit.buy(1, None)) == "TRP01"
    assert kit.call("desk", "select live_feeds from status") == 0


@pytest.mark.parametrize("future", ["received_at", "last_heard_at"])
def test_neither_half_of_a_price_may_be_of_the_future(kit, future):
    table = "market.prices_best" if future == "received_at" else "market.feeds"
    kit.db.execute(f"update {table} set {future} = bus.clock() + interval '1 hour'".encode())

    assert kit.call(kit.db, "select bool_or(is_fresh) from market.quotes_now") is False


def test_a_clock_that_was_only_adjusted_changes_nothing(kit):
    kit.advance(seconds=-1)

    assert kit.call(kit.db, "select bool_and(is_fresh) from market.quotes_now")


def test_an_account_takes_part_again_in_the_run_in_which_it_agreed(kit):
    kit.buy(1)
    kit.call("supervisor", "select begin_run()")
    kit.advance(hours=-1)
    assert kit.claim() == []

    kit.open_account()

    assert kit.call("desk", "select is_open from accounts")
    assert len(kit.claim()) == 1


def test_an_agreement_of_the_run_before_opens_nothing_whatever_its_time(kit):
    kit.buy(1)
    kit.db.execute("update trade.accounts set reconciled_at = bus.clock() + interval '1 day'")

    kit.call("supervisor", "select begin_run()")

    assert kit.claim() == []
    assert kit.call("desk", "select is_open from accounts") is False
    assert kit.call("reconcile", "select count(*) from accounts_to_reconcile()") == 1


def test_accounts_are_compared_on_though_the_last_time_is_ahead(kit):
    kit.advance(hours=-1)

    assert kit.call("reconcile", "select count(*) from accounts_to_reconcile()") == 1
    assert kit.call("risk", "select reconcile from work_waiting()")


@pytest.mark.parametrize("column", ["doubt", "cancel", "retry"])
def test_what_waited_a_moment_does_not_wait_an_hour(kit, column):
    ahead = "bus.clock() + interval '1 hour'"
    if column == "retry":
        kit.buy(1)
        kit.db.execute(f"update trade.order_intents set not_before = {ahead}".encode())
        assert len(kit.claim()) == 1
        return
    order = kit.live_order("BUY", 1, 60_000)
    if column == "doubt":
        kit.buy(1, symbol="000660")
        order = kit.claim_one()
        kit.call("execution", "select order_unknown(%s, %s, 'x')", order.order_id, order.fence)
    else:
        kit.db.execute("update trade.orders set cancel_requested_at = bus.clock()")
    kit.db.execute(f"update trade.orders set next_ask_at = {ahead}".encode())

    function = "claim_doubts" if column == "doubt" else "claim_cancels"
    lent = kit.rows("execution", f"select order_id from {function}(%s, 10)", kit.worker())
    assert [row.order_id for row in lent] == [order.order_id]


def test_a_wait_that_is_not_over_goes_on(kit):
    kit.buy(1)
    kit.db.execute("update trade.order_intents set not_before = bus.clock() + interval '30 s'")

    assert kit.claim() == []


def test_an_exit_that_was_refused_fires_again_though_its_wait_is_ahead(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    kit.db.execute("update trade.position_exits set not_before = bus.clock() + interval '1 hour'")
    kit.quote(50_000, 50_100)

    assert kit.call("exits", "select fire_exits()") == 1


def test_a_job_is_not_late_by_the_hour(kit):
    kit.db.execute("update bus.jobs set next_run_at = bus.clock() + interval '2 hours'")

    ran = 0
    while kit.call("risk", "select run_due_jobs()"):
        ran += 1

    assert ran == kit.call(kit.db, "select count(*) from bus.jobs")


def test_a_bucket_of_tokens_does_not_stay_empty_for_an_hour(kit):
    kit.db.execute(
        "insert into bus.rate_limits (bucket, per_second, burst, tokens, refilled_at)"
        " values ('paper', 10, 10, 0, bus.clock())"
    )
    kit.buy(1)
    assert kit.claim() == []

    kit.advance(minutes=-30)

    assert len(kit.claim()) == 1


def test_the_audit_accuses_nobody_of_an_order_that_was_claimed_after_a_halt(kit):
    """By timestamps alone, the order would fall inside the halt."""
    kit.call("desk", "select set_override_code(%s)", CODE)
    kit.call("desk", "select halt('x')")
    kit.advance(hours=-1)
    assert kit.rows("desk", "select * from resume('y', %s)", CODE)[0].resumed
    kit.advance(minutes=61)
    kit.quote(70_000, 70_100)
    kit.open_account()
    kit.buy(1)

    assert len(kit.claim()) == 1
    assert kit.audit() == []


def test_the_audit_accuses_nobody_of_an_order_that_was_claimed_before_a_halt(kit):
    """By timestamps alone, the halt would precede the order."""
    kit.buy(1)
    assert len(kit.claim()) == 1
    kit.advance(hours=-1)
    kit.call("desk", "select halt('x')")

    assert kit.audit() == []


def test_the_audit_finds_the_order_that_was_claimed_in_a_halt_whatever_its_time(kit):
    kit.buy(1)
    order = kit.claim_one()
    kit.db.execute(
        "insert into risk.mode_history (scope, name, to_mode, reason, changed_at, last_order_id)"
        " values ('system', 'system', 'HALT', 'x', bus.clock() + interval '1 day', %s)",
        [order.order_id - 1],
    )

    assert [row.law for row in kit.audit()] == ["L1"]
