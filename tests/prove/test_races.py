"""Races of two real sessions, at each isolation level and in each order.

The first session keeps its transaction open until the second waits for a lock, or has its answer without
waiting.  A call that must not use an old snapshot is refused (TRM02) or fails to serialize (40001); then it
is repeated once, as its worker would do.  The result must equal that of running one after the other.

Races with a halt are in tests/sql/laws/modes/test_halt_races.py: admissions and claims accept only one
isolation level.
"""

from __future__ import annotations

from concurrent.futures import Future
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import FILL, INTENT, SYMBOL, Connection, Kit

LEVELS = ("read committed", "repeatable read", "serializable")
AGAIN = ("40001", "TRM02")
Said = tuple[str, Any]
Query = tuple[Any, ...]


class Race:
    """Two sessions, of which the second runs at the given isolation level."""

    def __init__(self, kit: Kit, level: str) -> None:
        self.kit = kit
        self.level = level
        self.refused: list[str] = []

    def run(
        self, first: tuple[str, Query], second: tuple[str, Query], old: bool = False
    ) -> tuple[Said, Said]:
        """Return both answers.  With `old`, the second session takes its snapshot before the first call."""
        early, late = self.kit.connect(first[0]), self.kit.connect(second[0])
        late.execute(f"set default_transaction_isolation = '{self.level}'".encode())
        if old:
            return self._run_old(early, late, first[1], second[1])
        with early.transaction():
            one = said(early, first[1])
            future = self.kit.background(late, *second[1])
            self._until_waiting_or_done(late, future)
        return one, self._asked_again(late, outcome(future), second[1])

    def _run_old(self, early: Connection, late: Connection, first: Query, second: Query) -> tuple[Said, Said]:
        try:
            with late.transaction():
                late.execute(
                    "select mode from system_mode" if "desk" in late.info.user else "select next_due()"
                )
                one = said(early, first)
                two = outcome_of(late, second)
                if two[0] == "no":
                    raise psycopg.Rollback
        except psycopg.errors.SerializationFailure as failure:
            two = "no", failure.sqlstate
        return one, self._asked_again(late, two, second)

    def _until_waiting_or_done(self, conn: Connection, future: Future[Any]) -> None:
        query = "select true from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        while not future.done() and not self.kit.call(self.kit.db, query, conn.info.backend_pid):
            pass

    def _asked_again(self, conn: Connection, answer: Said, query: Query) -> Said:
        if answer[0] == "no" and answer[1] in AGAIN:
            assert self.level != "read committed", answer
            self.refused.append(answer[1])
            conn.execute("set default_transaction_isolation = 'read committed'")
            return outcome_of(conn, query)
        return answer


def said(conn: Connection, query: Query) -> Said:
    return "yes", conn.execute(query[0], query[1:]).fetchall()


def outcome_of(conn: Connection, query: Query) -> Said:
    try:
        return said(conn, query)
    except psycopg.Error as error:
        return "no", error.sqlstate


def outcome(future: Future[Any]) -> Said:
    try:
        return "yes", future.result(20)
    except psycopg.Error as error:
        return "no", error.sqlstate


@pytest.fixture(params=LEVELS)
def race(request: pytest.FixtureRequest, kit: Kit) -> Race:
    return Race(kit, request.param)


@pytest.fixture(params=[False, True], ids=["waiting", "with an old snapshot"])
def old(request: pytest.FixtureRequest, race: Race) -> bool:
    if request.param and race.level == "read committed":
        pytest.skip("read committed has no old snapshots")
    return bool(request.param)


def fill(kit: Kit, order: Any, quantity: int, price: int = 70_000) -> tuple[str, Query]:
    number = f"R{order.order_id}-{quantity}"
    return "execution", (FILL, "demo", order.client_order_id, None, number, quantity, price, 0, 0, kit.now)


def cancelled(order: Any) -> tuple[str, Query]:
    return "execution", ("select order_cancelled(%s, %s, 0)", order.order_id, order.fence)


def sell(quantity: int) -> tuple[str, Query]:
    return "desk", (
        INTENT,
        "demo",
        SYMBOL,
        "SELL",
        quantity,
        60_000,
        "race",
        "manual",
        "MANUAL",
        None,
        "1 min",
    )


def test_two_sells_of_the_last_share(race: Race, old: bool) -> None:
    race.kit.hold(1)

    one, two = race.run(sell(1), sell(1), old)

    assert (one[0], two) == ("yes", ("no", "TRQ01"))
    assert race.kit.position().locked_qty == 1
    assert race.kit.audit() == []


def test_a_fill_before_the_cancel(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    _, two = race.run(fill(kit, order, 10), cancelled(order), old)

    assert two == ("yes", [("FILLED",)])
    assert kit.order(order.order_id).status == "FILLED"
    assert kit.position().qty == 10
    assert kit.audit() == []


def test_a_fill_of_a_part_before_the_cancel(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    _, two = race.run(fill(kit, order, 4), cancelled(order), old)

    assert two == ("yes", [("CANCELLED",)])
    assert kit.order(order.order_id).status == "CANCELLED"
    assert (kit.position().qty, kit.balance().locked_cash) == (4, 0)
    assert kit.audit() == []


def test_a_fill_after_the_cancel(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    _, two = race.run(cancelled(order), fill(kit, order, 10), old)

    assert two == ("yes", [("RECORDED",)])
    assert (kit.order(order.order_id).status, kit.order(order.order_id).filled_qty) == ("CANCELLED", 10)
    assert (kit.position().qty, kit.balance().cash) == (10, 100_000_000 - 700_000)
    assert kit.audit() == []


def test_a_fill_while_a_person_cancels(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)
    intent_id = kit.order(order.order_id).intent_id
    cancel = "desk", ("select cancel_intent(%s, 'race')", intent_id)

    _, two = race.run(fill(kit, order, 10), cancel, old)

    assert two == ("yes", [("it had already ended",)])
    assert kit.audit() == []


def test_the_same_fill_twice_at_once(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    one, two = race.run(fill(kit, order, 6), fill(kit, order, 6), old)

    assert (one[1], two) == ([("RECORDED",)], ("yes", [("DUPLICATE",)]))
    assert kit.position().qty == 6
    assert kit.audit() == []


def test_a_stream_and_a_poll_bring_the_same_total(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)
    total = "execution", (
        "select record_cumulative('demo', %s, null, 6, 420000, 0, 0, %s)", order.client_order_id, kit.now,
    )  # fmt: skip

    one, two = race.run(total, total, old)

    assert (one[1], two) == ([("RECORDED",)], ("yes", [("DUPLICATE",)]))
    assert kit.position().qty == 6
    assert kit.audit() == []


# -- amends and stops --------------------------------------------------------------------------------------


@pytest.fixture
def resting(kit: Kit) -> Any:
    """A strategy's resting take-profit order, after the price has fallen through the stop."""
    kit.add_strategy()
    kit.hold(10, owner="momo")
    order = kit.live_order("SELL", 10, 74_000, owner="momo", intent_type="EXIT")
    kit.quote(60_000, 60_100)
    return order


FIRE = "exits", ("select fire_exits()",)


def amend(kit: Kit) -> tuple[str, Query]:
    query = "select order_id, quantity from claim_amends(%s, 10)"
    return "execution", (query, kit.worker())


def test_a_stop_escalates_what_rests_while_it_is_filled(race: Race, old: bool, resting: Any) -> None:
    kit = race.kit

    _, two = race.run(FIRE, fill(kit, resting, 10, 74_000), old)

    assert two == ("yes", [("RECORDED",)])
    assert kit.rows("execution", "select * from claim_amends(%s, 10)", kit.worker()) == []
    assert kit.position("momo").qty == 0
    assert kit.audit() == []


def test_what_rests_is_filled_while_a_stop_comes(race: Race, old: bool, resting: Any) -> None:
    kit = race.kit

    _, two = race.run(fill(kit, resting, 10, 74_000), FIRE, old)

    assert two == ("yes", [(0,)])
    assert kit.position("momo").locked_qty == 0
    assert kit.audit() == []


@pytest.mark.parametrize("part", [4, 10])
def test_an_amend_while_its_parent_is_filled(race: Race, old: bool, resting: Any, part: int) -> None:
    kit = race.kit
    kit.call("exits", "select fire_exits()")

    one, two = race.run(amend(kit), fill(kit, resting, part, 74_000), old)

    ((child_id, quantity),) = one[1]
    assert (quantity, two) == (10, ("yes", [("RECORDED",)]))
    kit.call("execution", "select order_accepted(%s, 1, 'child', %s::numeric)", child_id, 10 - part)
    child = kit.order(child_id)
    assert child.cancel_requested_at is not None if part == 10 else child.quantity == 10 - part
    assert kit.position("momo").qty == 10 - part
    assert kit.audit() == []


def test_a_fill_of_the_parent_while_its_amend_is_accepted(race: Race, old: bool, resting: Any) -> None:
    kit = race.kit
    kit.call("exits", "select fire_exits()")
    ((child_id, _),) = kit.rows("execution", *amend(kit)[1])
    accepted = "execution", ("select order_accepted(%s, 1, 'child', 6)", child_id)

    _, two = race.run(accepted, fill(kit, resting, 4, 74_000), old)

    assert two == ("yes", [("RECORDED",)])
    statuses = kit.rows(
        kit.db, "select status, quantity, filled_qty from trade.orders order by order_id desc"
    )
    assert [tuple(row) for row in statuses[:2]] == [("SUBMITTED", 6, 0), ("REPLACED", 10, 4)]
    assert kit.audit() == []


# -- claims and leases -------------------------------------------------------------------------------------


def test_two_claimers(race: Race, old: bool) -> None:
    kit = race.kit
    kit.buy(1)
    claim = "execution", ("select quantity from claim_intents(%s, 10)", kit.worker())

    one, two = race.run(claim, claim, old)

    assert (one[1], two) == ([(Decimal(1),)], ("yes", []))
    assert kit.call(kit.db, "select count(*) from trade.orders") == 1
    assert kit.audit() == []


def in_doubt(kit: Kit) -> Any:
    """An order in doubt whose lease has expired."""
    kit.buy(1)
    order = kit.claim_one()
    kit.call("execution", "select order_unknown(%s, %s, 'timeout')", order.order_id, order.fence)
    kit.advance(minutes=1)
    return order


def test_an_answer_while_its_lease_is_taken_over(race: Race, old: bool) -> None:
    kit, order = race.kit, in_doubt(race.kit)
    take = "execution", ("select order_id, fence from claim_doubts(%s, 10)", kit.worker())
    answer = "execution", ("select order_accepted(%s, %s, 'B1')", order.order_id, order.fence)

    one, two = race.run(take, answer, old)

    assert (len(one[1]), two) == (1, ("no", "TRL03"))
    assert kit.order(order.order_id).status == "IN_DOUBT"
    assert kit.audit() == []


def test_a_lease_is_taken_over_while_its_answer_comes(race: Race, old: bool) -> None:
    kit, order = race.kit, in_doubt(race.kit)
    take = "execution", ("select order_id, fence from claim_doubts(%s, 10)", kit.worker())
    answer = "execution", ("select order_accepted(%s, %s, 'B1')", order.order_id, order.fence)

    _, two = race.run(answer, take, old)

    assert two == ("yes", [])
    assert kit.order(order.order_id).status == "SUBMITTED"
    assert kit.audit() == []


# -- reconciliation, approval ------------------------------------------------------------------------------


def reconcile(kit: Kit, held: int) -> tuple[str, Query]:
    mark = kit.call("reconcile", "select holdings_mark('demo')")
    query = "select reconcile('demo', %s, %s)"
    return "reconcile", (query, mark, Jsonb({"holdings": {SYMBOL: held}}))


def test_a_reconciliation_that_a_fill_overtakes_proves_nothing(race: Race, old: bool) -> None:
    kit, order = race.kit, race.kit.live_order("BUY", 10, 70_000)

    _, two = race.run(fill(kit, order, 10), reconcile(kit, 10), old)

    assert two == ("yes", [("CHANGED",)])
    assert kit.position().qty == 10
    assert kit.call(kit.db, "select count(*) from trade.reconciliations") == 0
    assert kit.audit() == []


def test_a_fill_while_a_reconciliation_corrects(race: Race, old: bool) -> None:
    kit = race.kit
    order = kit.live_order("BUY", 10, 70_000)
    kit.call("execution", "select order_cancelled(%s, %s, 0)", order.order_id, order.fence)
    assert said(kit.at("reconcile"), reconcile(kit, 10)[1]) == ("yes", [("DIFFERS",)])

    one, two = race.run(reconcile(kit, 10), fill(kit, order, 10), old)

    # Both are recorded; the next two reconciliations find the excess and correct it.
    assert (one[1], two) == ([("CORRECTED",)], ("yes", [("RECORDED",)]))
    assert kit.position().qty == 20
    assert [said(kit.at("reconcile"), reconcile(kit, 10)[1])[1][0][0] for _ in range(2)] == [
        "DIFFERS",
        "CORRECTED",
    ]
    assert kit.position().qty == 10
    assert kit.audit() == []


def pending(kit: Kit) -> int:
    """A sell that waits for approval and whose time to live is over."""
    kit.hold(10)
    kit.call("desk", "select halt('race')")
    intent_id = kit.sell(1)
    kit.advance(days=2)
    return intent_id


def approve(intent_id: int) -> tuple[str, Query]:
    return "desk", ("select approve(%s, 'race')", intent_id)


EXPIRE = "risk", ("select expire_due()",)


def test_an_approval_while_its_time_runs_out(race: Race, old: bool) -> None:
    intent_id = pending(race.kit)

    _, two = race.run(EXPIRE, approve(intent_id), old)

    assert two == ("no", "TRL01")
    assert race.kit.intent_row(intent_id).status == "EXPIRED"
    assert race.kit.audit() == []


def test_its_time_runs_out_while_it_is_approved(race: Race, old: bool) -> None:
    """The approval comes first and restarts the time to live."""
    intent_id = pending(race.kit)

    _, two = race.run(approve(intent_id), EXPIRE, old)

    assert two == ("yes", [(0,)])
    assert race.kit.intent_row(intent_id).status == "NEW"
    assert race.kit.audit() == []


def test_a_doubt_opens_while_another_order_of_its_side_is_claimed(race: Race, old: bool) -> None:
    """The claim that came first is sent; the next one waits until the doubt is resolved."""
    kit = race.kit
    kit.buy(1)
    order = kit.claim_one()
    kit.buy(2)
    claim = "execution", ("select quantity from claim_intents(%s, 10)", kit.worker())
    unknown = "execution", ("select order_unknown(%s, %s, 'x')", order.order_id, order.fence)

    one, _ = race.run(claim, unknown, old)

    assert one[1] == [(Decimal(2),)]
    kit.buy(3)
    assert kit.claim() == []
    assert kit.audit() == []


def test_old_snapshots_are_refused_and_not_believed(kit: Kit) -> None:
    """A fill whose order the snapshot cannot see must not become an incident."""
    late = kit.connect("execution")
    late.execute("set default_transaction_isolation = 'repeatable read'")
    with late.transaction(force_rollback=True):
        late.execute("select next_due()")
        order = kit.live_order("BUY", 1, 70_000)
        answer = outcome_of(late, fill(kit, order, 1)[1])

    assert answer == ("no", "TRM02")
    assert kit.incidents() == []
