"""Triggers: when a measure that is beyond its threshold changes a mode, and when it does not."""

import pytest

from tests.sql.laws.refusals import refusal

EVALUATE = "select evaluate_triggers()"
STATE = "select * from risk.trigger_states where trigger_name = 'stale_reconciliation'"


@pytest.fixture
def enabled(kit):
    """The trigger that ships: two samples in a row of books compared over 300 seconds ago enter SAFE."""
    kit.db.execute("update risk.triggers set is_enabled = true")
    return kit


def evaluate(kit, seconds=1):
    kit.advance(seconds=seconds)
    return kit.call("risk", EVALUATE)


def modes(kit):
    return [tuple(row) for row in kit.rows(kit.db, "select scope, name, mode from risk.scoped_modes")]


def test_enough_true_samples_in_a_row_enter_the_mode_with_their_evidence(enabled):
    kit = enabled

    assert evaluate(kit, 299) == 0
    assert (kit.look(STATE).is_true, kit.look(STATE).samples) == (False, 0)
    assert evaluate(kit, 2) == 0  # the first sample beyond the threshold
    assert (kit.look(STATE).is_true, kit.look(STATE).samples, modes(kit)) == (True, 1, [])
    assert evaluate(kit) == 1

    assert modes(kit) == [("account", "demo", "SAFE")]
    change = kit.look("select * from risk.mode_history order by mode_change_id desc limit 1")
    assert (change.changed_by, change.to_mode) == ("aegis_w_risk", "SAFE")
    assert change.reason == "stale_reconciliation: 302 > 300"
    assert (change.evidence["value"], change.evidence["threshold"], change.evidence["samples"]) == (
        302,
        300,
        2,
    )
    assert change.evidence["facts"]["reconciled_at"] is not None
    assert refusal(lambda: kit.buy(1)) == "TRM01"
    assert refusal(lambda: kit.hold(1)) == "TRM01"


def test_one_good_sample_starts_the_count_anew(enabled):
    kit = enabled

    assert evaluate(kit, 301) == 0
    kit.open_account()
    assert evaluate(kit) == 0
    assert kit.look(STATE).true_since is None
    assert evaluate(kit, 301) == 0
    assert modes(kit) == []


def test_it_must_last_as_long_as_its_row_says(enabled):
    kit = enabled
    kit.db.execute("update risk.triggers set samples = 1, lasting = '10 s'")

    assert [evaluate(kit, 301), evaluate(kit, 9), evaluate(kit, 1)] == [0, 0, 1]


def test_samples_are_at_least_a_second_apart(enabled):
    kit = enabled
    evaluate(kit, 301)

    assert [evaluate(kit, 0.4), evaluate(kit, 0.4), evaluate(kit, 0.2)] == [0, 0, 1]


def test_it_fires_again_only_after_it_has_been_false(enabled):
    kit = enabled
    assert [evaluate(kit, 301), evaluate(kit)] == [0, 1]
    kit.db.execute("update risk.scoped_modes set mode = 'NORMAL', reason = 'a person looked'")

    assert [evaluate(kit), evaluate(kit)] == [0, 0]
    kit.open_account()
    assert evaluate(kit) == 0
    assert [evaluate(kit, 301), evaluate(kit)] == [0, 1]


def test_it_never_makes_a_mode_milder(enabled):
    kit = enabled
    kit.db.execute(
        "insert into risk.scoped_modes (scope, name, mode, reason) values ('account', 'demo', 'HALT', 'x')"
    )

    assert [evaluate(kit, 301), evaluate(kit)] == [0, 0]
    assert modes(kit) == [("account", "demo", "HALT")]


def test_a_disabled_trigger_is_shown_and_changes_nothing(kit):
    assert [evaluate(kit, 301), evaluate(kit)] == [0, 0]

    row = kit.rows("desk", "select * from triggers")[0]
    assert (row.trigger_name, row.value, row.is_enabled, row.fired_at) == (
        "stale_reconciliation",
        302,
        False,
        None,
    )


@pytest.mark.parametrize("value", ["'NaN'::numeric", "'Infinity'::numeric", "null::numeric", "1e20"])
def test_a_value_that_is_no_amount_counts_as_not_measured(enabled, value):
    kit = enabled
    kit.db.execute(
        f"""
        create or replace view risk.measure_reconciliation_age as
        select 'account'::text as scope, 'demo'::text as subject, {value} as value, '{{}}'::jsonb as evidence,
            bus.clock() as measured_at
        """.encode()
    )

    assert [evaluate(kit), evaluate(kit)] == [0, 0]
    assert (kit.look(STATE).value, kit.look(STATE).is_true) == (None, False)


def test_a_measure_that_fails_disables_no_other(enabled):
    kit, owner = enabled, enabled.connect("owner")
    owner.execute(
        """
        create view risk.measure_broken as
        select 'system'::text as scope, 'system'::text as subject, 1 / (cash - cash) as value,
            '{}'::jsonb as evidence, bus.clock() as measured_at
        from trade.balances
        """
    )
    owner.execute(
        """
        insert into risk.triggers (trigger_name, measure, comparison, threshold, mode, meaning)
        values ('broken', 'broken', '>', 0, 'HALT', 'test')
        """
    )
    owner.execute(
        """
        create or replace view risk.measures as
        select 'broken'::text as measure, m.* from risk.measure_broken as m
        union all
        select 'reconciliation_age', m.* from risk.measure_reconciliation_age as m
        """
    )

    assert [evaluate(kit, 301), evaluate(kit)] == [0, 1]
    assert modes(kit) == [("account", "demo", "SAFE")]
    assert kit.incidents() == [("failed_item", True)]


def test_a_trigger_without_its_measure_is_refused(kit):
    query = "update risk.triggers set measure = 'moon_phase'"

    assert refusal(lambda: kit.db.execute(query)) == "TRI02"


@pytest.mark.parametrize("station", ["execution", "feed", "desk"])
def test_only_the_engine_evaluates(kit, station):
    assert refusal(lambda: kit.call(station, EVALUATE)) == "42501"


def test_sixteen_sessions_at_once_fire_it_once(enabled):
    kit = enabled
    evaluate(kit, 301)
    kit.advance(seconds=1)
    sessions = [kit.connect("risk") for _ in range(16)]

    answers = [kit.background(session, EVALUATE) for session in sessions]

    assert sum(answer.result(timeout=30)[0][0] for answer in answers) == 1
    assert kit.look(STATE).samples == 2
    assert kit.look("select count(*) from risk.mode_history where scope = 'account'").count == 1
