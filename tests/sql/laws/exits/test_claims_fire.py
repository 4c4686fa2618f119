"""A claim fires the exits that are due first: a stop then costs one wake-up and one commit."""

import psycopg
import pytest

from tests.sql.laws.market_kit import OTHER

CLAIM = "select * from claim_intents(%s, 100, %s, %s)"
BROKEN = """
create or replace function trade.fire_exits(p_symbols text[], p_broker text)
returns integer
language plpgsql
as 'begin raise exception using errcode = ''22012'', message = ''broken''; end'
"""


def claim(kit, broker=None, fire=True):
    return kit.rows("execution", CLAIM, kit.worker(), broker, fire)


@pytest.mark.parametrize("broker", [None, "paper"])
def test_a_claim_that_fires_hands_out_the_stop_at_once(kit, held, broker):
    kit.quote(60_000, 60_100)

    (order,) = claim(kit, broker)

    assert (order.side, order.quantity) == ("SELL", 10)
    intent = kit.intent_row(held + 1)
    assert (intent.reason, intent.status) == ("STOP_LOSS", "CLAIMED")
    assert claim(kit, broker) == []


@pytest.mark.parametrize(("broker", "fire"), [("paper", False), ("corner", True)])
def test_it_fires_only_when_asked_and_only_for_its_broker(kit, held, broker, fire):
    kit.db.execute("insert into trade.brokers (broker, is_real) values ('corner', false)")
    kit.quote(60_000, 60_100)

    assert claim(kit, broker, fire) == []
    assert kit.call("feed", "select prices_reach('{005930}')") is True


def test_it_claims_only_for_its_broker(kit, held):
    kit.db.execute("insert into trade.brokers (broker, is_real) values ('corner', false)")
    kit.buy(1)

    assert claim(kit, "corner") == []
    assert len(claim(kit, "paper")) == 1


def test_nobody_is_woken_for_what_is_claimed_at_once(kit, held):
    """Notifications come in the order of commits: the first one is of the intent that waits."""
    listener, desk = kit.connect("desk"), kit.connect("desk")
    listener.execute("listen new_intent")
    kit.quote(60_000, 60_100)

    assert len(claim(kit)) == 1
    kit.buy(1, symbol=OTHER, by=desk)

    (note,) = listener.notifies(timeout=20, stop_after=1)
    assert (note.channel, note.pid) == ("new_intent", desk.info.backend_pid)


def test_an_exit_that_cannot_fire_keeps_nothing_from_being_claimed(kit, held):
    kit.buy(1, symbol=OTHER)
    kit.db.execute(BROKEN.encode())

    (order,) = claim(kit)

    assert order.symbol == OTHER
    incident = "select kind, subject from api.incidents where closed_at is null"
    assert kit.rows(kit.db, incident) == [("failed_item", "fire_exits: all brokers")]


def test_a_server_in_trouble_is_no_trouble_of_an_exit(kit, held):
    kit.buy(1, symbol=OTHER)
    kit.db.execute(BROKEN.replace("22012", "53200").encode())

    with pytest.raises(psycopg.Error) as refused:
        claim(kit)
    assert refused.value.sqlstate == "53200"
