"""The explain functions: what changed, in order, and why a pick did not become a trade."""

import pytest

from tests.sql.laws.market_kit import refusal


def story(kit, number, function="explain"):
    return [(row.station, row.what) for row in kit.rows("desk", f"select * from {function}(%s)", number)]


def explained(kit, number, station, function="explain"):
    return [what for where, what in story(kit, number, function) if where == station]


def test_a_trade_is_reported_from_the_pick_to_the_fill(kit):
    strategy = kit.add_strategy()
    pick = kit.call(strategy, "select propose('005930', 'BUY', p_reason => 'it is cheap')")
    kit.call("router", "select route_picks(10)")
    order = kit.claim_one()
    kit.accept(order, "B7")
    kit.fill(order, 20, 70_000, fee=15)
    kit.fill(order, 51, 70_050)
    intent = kit.order(order.order_id).intent_id

    number, name, worker = order.order_id, order.client_order_id, kit.worker()
    assert story(kit, intent) == [
        ("pick", "momo proposes ENTRY BUY of 005930: it is cheap"),
        *[(f"gate {gate}", what) for gate, what in gates(kit, pick)[:2]],
        ("gate 3", gates(kit, pick)[2][1]),
        ("intent", story(kit, intent)[4][1]),
        ("intent", "CLAIMED"),
        ("order", f"{number}: SENDING BUY 71 at 70400, {name}, by worker {worker}"),
        ("order", f"{number}: SUBMITTED, the broker's number is B7"),
        ("intent", "SUBMITTED"),
        ("order", f"{number}: PARTIAL_FILLED, filled 20 of 71"),
        ("intent", "PARTIAL_FILLED, filled 20 of 71"),
        ("fill", "BUY 20 at 70000, fee 15, tax 0"),
        ("order", f"{number}: FILLED: filled, filled 71 of 71"),
        ("intent", "FILLED: filled, filled 71 of 71"),
        ("fill", "BUY 51 at 70050, fee 0, tax 0"),
    ]
    assert story(kit, intent) == story(kit, number, "explain_order") == story(kit, pick, "explain_pick")


def gates(kit, pick):
    rows = kit.rows("desk", "select gate, passed, code, message from gate_results where pick_id = %s", pick)
    return [
        (row.gate, f"{'passed' if row.passed else f'refused, {row.code}'}: {row.message}")
        for row in sorted(rows)
    ]


def test_a_pick_that_became_no_intent_says_which_gate_refused_it(kit):
    strategy = kit.add_strategy()
    kit.call("desk", "select halt('enough')")
    pick = kit.call(strategy, "select propose('005930', 'BUY', p_quantity => 3, p_reason => 'hope')")
    kit.call("router", "select route_picks(10)")

    lines = story(kit, pick, "explain_pick")

    assert lines[0] == ("pick", "momo proposes ENTRY BUY 3 of 005930: hope")
    assert lines[1][0] == "gate 1"
    assert lines[1][1].startswith("refused, TRM01: ")
    assert lines[-1] == ("pick", "REFUSED: no intent was made")


def test_a_pick_nobody_came_to_says_so(kit):
    strategy = kit.add_strategy()
    pick = kit.call(strategy, "select propose('005930', 'BUY')")
    kit.advance(minutes=5)
    kit.call("risk", "select expire_due()")

    assert story(kit, pick, "explain_pick")[-1] == ("pick", "EXPIRED: the router did not come to it in time")


def test_what_changed_is_reported_where_the_status_stays(kit):
    order = kit.live_order("BUY", 10, 70_000)
    intent = kit.order(order.order_id).intent_id
    kit.call("desk", "select cancel_intent(%s, 'no more')", intent)
    (claimed,) = kit.rows("execution", "select * from claim_cancels(%s, 1)", kit.worker())
    kit.call("execution", "select order_cancelled(%s, %s, 0)", claimed.order_id, claimed.fence)

    number, worker = order.order_id, kit.worker()
    assert explained(kit, intent, "order")[2:] == [
        f"{number}: asked to cancel",
        f"{number}: worker {worker} answers for it now, fence {claimed.fence}",
        f"{number}: CANCELLED: cancelled",
    ]
    assert explained(kit, intent, "intent")[-1] == "CANCELLED: its order was cancelled"


def test_a_doubt_is_reported_with_its_cause_and_each_answer(kit):
    kit.db.execute("update trade.brokers set not_found_needed = 3")
    intent = kit.buy(1)
    order = kit.claim_one()
    kit.call("execution", "select order_unknown(%s, %s, 'timeout')", order.order_id, order.fence)
    kit.advance(seconds=30)
    for _ in range(2):
        (asked,) = kit.rows("execution", "select * from claim_doubts(%s, 1)", kit.worker())
        kit.call("execution", "select order_not_found(%s, %s)", asked.order_id, asked.fence)
        kit.advance(seconds=30)

    lines = explained(kit, intent, "order")

    assert f"{order.order_id}: IN_DOUBT" in lines
    assert f"order {order.order_id}: unknown answer by aegis_w_execution: timeout" in lines
    assert any(line.endswith("the broker does not find it, time 1") for line in lines)


def test_a_resting_sell_that_a_stop_escalates_says_so_and_so_does_its_amend(kit):
    kit.add_strategy()
    kit.hold(10, owner="momo")
    order = kit.live_order("SELL", 10, 80_000, owner="momo", intent_type="EXIT")
    intent = kit.order(order.order_id).intent_id
    kit.quote(60_000, 60_100)
    kit.call("exits", "select fire_exits()")
    (amend,) = kit.rows("execution", "select * from claim_amends(%s, 1)", kit.worker())

    assert any(
        line.startswith("escalated by a stop (STOP_LOSS)") for line in explained(kit, intent, "intent")
    )
    lines = explained(kit, intent, "order")
    assert any(line.startswith(f"{order.order_id}: its rest shall go at ") for line in lines)
    assert any(f"in the place of order {order.order_id}" in line for line in lines)
    assert amend.order_id != order.order_id


def test_an_approval_names_who_and_why(kit):
    kit.hold(10)
    kit.call("desk", "select halt('why')")
    intent = kit.sell(5)
    kit.call("desk", "select approve(%s, 'get out')", intent)

    assert explained(kit, intent, "intent")[1:] == [
        "NEW, approved by aegis_desk",
        "approved by aegis_desk: get out",
    ]


def test_no_line_repeats_the_one_before(kit):
    order = kit.live_order("BUY", 10, 70_000)
    intent = kit.order(order.order_id).intent_id
    kit.db.execute("update trade.orders set next_ask_at = bus.clock() where order_id = %s", [order.order_id])

    lines = story(kit, intent)

    assert len(lines) == len(set(lines))
    assert None not in {what for _, what in lines}


@pytest.mark.parametrize("function", ["explain", "explain_order", "explain_pick"])
def test_what_does_not_exist_has_no_story(kit, function):
    assert refusal(lambda: story(kit, 4711, function)) == "TRI02"
