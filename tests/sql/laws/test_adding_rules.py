"""A new exit rule, limit or trigger is a row and one file: each test adds both and touches no other file."""

from __future__ import annotations

import pytest

from cli.database.errors import MigrationError
from tests.sql.deploy_kit import Folders

SOLD_AFTER = """
create or replace view trade.exit_on_time_stop as
select
    p.account_id,
    p.instrument_id,
    p.owner,
    null::numeric as sell_below,
    0::numeric as sell_above  -- any bid
from trade.positions as p
join trade.position_exits as e using (account_id, instrument_id, owner)
join trade.exit_rules as r on r.profile = e.profile and r.reason = 'TIME_STOP'
where e.is_armed and p.opened_at <= bus.clock() - make_interval(secs => r.value::float8);
"""
SOLD_AFTER_ROWS = """
insert into trade.exit_kinds values ('TIME_STOP', 30, false, 'Sells after the value in seconds.');
insert into trade.exit_rules values ('swing', 'TIME_STOP', 1800);
"""
AT_MOST = """
create or replace function strategy.bound_shares(p_pick strategy.picks, p_price numeric, p_rate numeric)
returns table (quantity numeric)
language sql
stable
begin atomic
    select l.value
    from risk.limits as l
    where l.account_id = p_pick.account_id and l.limit_name = 'max_shares';
end;
"""
AT_MOST_ROWS = """
insert into strategy.pick_bounds
values ('shares', 'max_shares', 'no shares may be bought', 'Shares of a pick.');
insert into risk.limits (account_id, limit_name, value)
select account_id, 'max_shares', 3 from trade.accounts;
"""
LOW_CASH = """
create or replace view risk.measure_cash as
select
    'account'::text as scope,
    a.account as subject,
    b.cash as value,
    jsonb_build_object('locked', b.locked_cash) as evidence,
    bus.clock() as measured_at
from trade.balances as b
join trade.accounts as a using (account_id);
"""
LOW_CASH_ROWS = """
insert into risk.triggers (trigger_name, measure, comparison, threshold, mode, meaning)
values ('low_cash', 'cash', '<', 1000, 'SAFE', 'Nothing left to trade with.');
"""


@pytest.fixture
def add(kit, tmp_path):
    """Deploy the shipped files with one migration and one file of sql/ added."""

    def deploy(rows, file=None, text=""):
        folders = Folders.real(tmp_path, kit.db)
        folders.migration("9999_one_more.sql", f"-- 9999_one_more: a rule.\n{rows}")
        if file is not None:
            (folders.sql / file).write_text(f"-- one more rule.\n{text}")
        folders.deploy(kind=None)
        kit.go_on_here()

    return deploy


def test_an_exit_rule_is_a_row_and_a_view(kit, add):
    add(SOLD_AFTER_ROWS, "40_trade/78_exit_on_time_stop.sql", SOLD_AFTER)
    kit.add_strategy()
    held = kit.hold(10, owner="momo")
    fire = "select fire_exits()"

    kit.quote(70_000, 70_100)
    assert kit.call("exits", fire) == 0
    kit.advance(minutes=30)
    kit.quote(70_000, 70_100)
    assert kit.call("exits", fire) == 1
    assert kit.call("exits", fire) == 0

    row = kit.intent_row(held + 1)
    assert (row.intent_type, row.reason, row.quantity) == ("EXIT", "TIME_STOP", 10)


def test_of_several_rules_reached_at_once_the_first_by_priority_gives_the_reason(kit, add):
    add(SOLD_AFTER_ROWS, "40_trade/78_exit_on_time_stop.sql", SOLD_AFTER)
    kit.add_strategy()
    held = kit.hold(10, owner="momo")

    kit.advance(hours=1)
    kit.quote(60_000, 60_100)

    assert len(kit.rows(kit.db, "select reason from trade.exits_due")) == 2
    assert kit.call("exits", "select fire_exits()") == 1
    assert kit.intent_row(held + 1).reason == "STOP_LOSS"


def test_a_limit_is_a_row_and_a_function(kit, add):
    add(AT_MOST_ROWS, "50_strategy/33_shares.sql", AT_MOST)
    strategy = kit.add_strategy()
    propose = "select propose('005930', 'BUY', 'ENTRY', 10, null, 'test')"

    pick = kit.call(strategy, propose)
    kit.call("router", "select route_picks(10)")

    gate = """
        select detail ->> 'bound_by' as bound, message
        from strategy.gate_results
        where pick_id = %s and gate = 3
    """
    assert kit.look(gate, pick).bound == "shares"
    assert kit.intent_row(1).quantity == 3

    kit.call("desk", "select cancel_intent(1, 'test')")
    kit.db.execute("update risk.limits set value = 0 where limit_name = 'max_shares'")
    pick = kit.call(strategy, propose)
    kit.call("router", "select route_picks(10)")
    assert kit.look(gate, pick).message == "no shares may be bought"
    assert ("max_shares", "Shares of a pick.") in kit.rows("desk", "select limit_name, meaning from limits")


def test_a_trigger_is_a_row_and_a_measure(kit, add):
    add(LOW_CASH_ROWS, "30_risk/51_measure_cash.sql", LOW_CASH)
    assert kit.call("risk", "select evaluate_triggers()") == 0

    kit.move_cash(-99_999_500)
    kit.advance(seconds=1)
    assert kit.call("risk", "select evaluate_triggers()") == 1

    mode = kit.look("select * from risk.scoped_modes")
    assert (mode.scope, mode.name, mode.mode) == ("account", "demo", "SAFE")
    assert mode.reason == "low_cash: 500 < 1000"
    shown = kit.rows("desk", "select * from triggers where trigger_name = 'low_cash'")[0]
    assert (shown.value, shown.threshold, shown.fired_at is not None) == (500, 1000, True)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (SOLD_AFTER_ROWS, "exit_on_time_stop"),
        (AT_MOST_ROWS, "bound_shares"),
        (LOW_CASH_ROWS, "low_cash"),
    ],
    ids=["exit rule", "limit", "trigger"],
)
def test_a_row_whose_view_or_function_is_missing_fails_the_deployment(kit, add, rows, named):
    with pytest.raises(MigrationError, match=named):
        add(rows)

    kit.quote(70_000, 70_100)  # the version before is in place
    assert kit.call("exits", "select fire_exits()") == 0
