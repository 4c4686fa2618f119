"""Notifications are only hints (L12).

Without any, all work is still done within the poll interval; without polls, nothing waits in normal running.
"""

from tests.e2e.system import System
from tests.e2e.test_path import ROUND_TRIP

WAITS = """
select extract(epoch from percentile_cont(0.5) within group (order by waited))::float,
       extract(epoch from max(waited))::float
from (
    select p.routed_at - p.created_at as waited from strategy.picks as p where p.status = 'ROUTED'
    union all
    select i.claimed_at - i.created_at from trade.order_intents as i where i.attempts = 1
) as w
"""
POLL = 1.0  # seconds: the poll of router and execution
BUSY = 1.5  # seconds allowed for a slow machine


def test_with_every_notification_dropped_all_is_done_within_the_poll(system: System) -> None:
    quick = '{"fast": 2, "slow": 3, "threshold": 0.1, "cooldown": 1}'  # it sees one price per poll
    system.admin.execute(
        "update strategy.strategies set parameters = %s where strategy = 'momentum'", [quick]
    )
    system.start(AEGIS_NOTIFY="off")

    system.wait_for(ROUND_TRIP, within=60, what="a buy that a stop or target sold again")

    median, longest = system.rows(WAITS)[0]
    assert median > 0.05, "nothing waited for a poll: somebody was notified after all"
    assert longest < POLL + BUSY
    _no_intent_ran_out_of_time(system)


def test_with_the_poll_off_nothing_waits(system: System) -> None:
    system.start(AEGIS_POLL="off")

    system.wait_for(ROUND_TRIP, within=60, what="a buy that a stop or target sold again")
    system.wait_for_fills(6, within=40)

    median, longest = system.rows(WAITS)[0]
    assert median < 0.1
    assert longest < BUSY
    _no_intent_ran_out_of_time(system)


def _no_intent_ran_out_of_time(system: System) -> None:
    assert system.rows("select intent_id, closed_reason from api.intents where status = 'EXPIRED'") == []
    assert system.rows("select pick_id from api.picks where status = 'EXPIRED'") == []
