"""L1: once a halt has committed, nothing it forbids commits."""

import psycopg
import pytest

from tests.sql.laws.market_kit import CASH, SYMBOL, refusal
from tests.sql.laws.modes.modes_kit import halt, intents
from workers.runtime.errors import TradingHalted, WrongIsolation

# -- nothing gets past a halt ------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", ["superuser", "owner"])
@pytest.mark.parametrize("mode", ["HALT", "SAFE"])
def test_a_buy_written_by_hand_is_refused_when_buying_is_forbidden(kit, writer, mode):
    kit.db.execute("update risk.system_mode set mode = %s, reason = 'test'", [mode])

    assert refusal(lambda: kit.insert_intent(kit.connect(writer))) == "TRM01"


def copy_in(kit, columns):
    with kit.db.cursor() as cursor:
        rows = cursor.execute(f"select {columns} from copies").fetchall()
        with cursor.copy(f"copy trade.order_intents ({columns}) from stdin") as copy:
            for row in rows:
                copy.write_row([psycopg.types.json.Json(v) if isinstance(v, dict) else v for v in row])


def test_a_buy_copied_in_is_refused_while_halted(kit):
    kit.insert_intent()
    kit.db.execute("create temp table copies as select * from trade.order_intents")
    kit.db.execute("update copies set idempotency_key = 'a copy'")
    columns = "account_id, instrument_id, owner, intent_type, side, reason, quantity, worst_price, status"
    columns += ", reserved_qty, reserved_cash, idempotency_key, request, expires_at"
    halt(kit)

    assert refusal(lambda: copy_in(kit, columns)) == "TRM01"
    assert intents(kit) == 1


def test_a_buy_at_the_desk_is_refused_while_halted(kit):
    halt(kit)

    with pytest.raises(TradingHalted, match="mode HALT forbids new buy"):
        kit.buy(1)


def test_a_pick_is_refused_while_halted_and_says_why(kit):
    strategy = kit.add_strategy()
    kit.call(strategy, "select propose(%s, 'BUY')", SYMBOL)
    halt(kit)

    assert kit.call("router", "select route_picks(10)") == 1

    (pick,) = kit.rows("desk", "select * from picks")
    assert (pick.status, pick.code, pick.message) == ("REFUSED", "TRM01", "mode HALT forbids it")
    assert intents(kit) == 0


@pytest.mark.parametrize("verdict_from", ["system", "broker", "account"])
def test_the_strictest_of_system_broker_and_account_counts(kit, verdict_from):
    if verdict_from == "system":
        halt(kit)
    else:
        name = {"broker": "paper", "account": "demo"}[verdict_from]
        kit.db.execute(
            "insert into risk.scoped_modes (scope, name, mode, reason) values (%s, %s, 'HALT', 'test')",
            [verdict_from, name],
        )

    with pytest.raises(TradingHalted):
        kit.buy(1)


def test_a_halted_account_does_not_stop_another(kit):
    kit.add_account("second", CASH)
    kit.db.execute(
        "insert into risk.scoped_modes (scope, name, mode, reason) values ('account', 'demo', 'HALT', 'test')"
    )

    assert kit.buy(1, account="second")


def test_a_halt_forbids_the_claim_of_what_was_waiting(kit):
    kit.buy(1)
    halt(kit)

    assert kit.claim() == []


def test_an_order_written_by_hand_is_refused_while_halted(kit):
    intent_id = kit.insert_intent()
    kit.db.execute("update trade.order_intents set status = 'CLAIMED'")
    halt(kit)

    assert refusal(lambda: kit.insert_order(intent_id)) == "TRM01"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("writer", ["desk", "router", "exits", "execution", "superuser"])
def test_a_snapshot_that_could_miss_a_halt_is_refused(kit, level, writer):
    calls = {
        "desk": lambda conn: kit.buy(1, by=conn),
        "router": lambda conn: kit.call(conn, "select route_picks(1)"),
        "exits": lambda conn: kit.call(conn, "select fire_exits()"),
        "execution": lambda conn: conn.execute("select claim_intents(%s, 1)", [kit.register(conn)]),
        "superuser": lambda conn: kit.insert_intent(conn),
    }
    conn = kit.connect(writer)
    conn.execute(f"set default_transaction_isolation = '{level}'")

    with pytest.raises(WrongIsolation):
        calls[writer](conn)


def test_an_approval_in_a_snapshot_that_could_miss_a_halt_is_refused(kit):
    kit.insert_intent(status="PENDING_APPROVAL")
    kit.at("desk").execute("set default_transaction_isolation = 'repeatable read'")

    with pytest.raises(WrongIsolation):
        kit.call("desk", "select approve(1, 'yes')")


# -- after a halt ------------------------------------------------------------------------------------------


def test_after_a_halt_waiting_buys_end_live_ones_are_asked_to_cancel_and_sells_wait_for_approval(kit):
    kit.hold(10)
    live = kit.live_order("BUY", 1, 70_000)
    waiting, sell = kit.buy(2), kit.sell(3)
    halt(kit)

    assert kit.call("risk", "select enforce_modes()") == 3

    assert kit.intent_row(waiting).status == "CANCELLED"
    assert kit.intent_row(sell).status == "PENDING_APPROVAL"
    assert kit.order(live.order_id).cancel_requested_at is not None
    assert kit.call("risk", "select enforce_modes()") == 0
    assert kit.audit() == []
