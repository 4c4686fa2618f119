"""`aegis audit` names every row of the history that was tampered with, and every broken law."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.triggers import triggers_off

SEAL = "select api.seal_events(100000)"


@pytest.fixture
def sealed(market, db):
    """A traded market whose history is sealed; returns the ids of its events, in the order of the seals."""
    market.reconcile()
    market.buy(10)
    db.execute(SEAL)
    return [row[0] for row in db.execute("select event_id from bus.seals order by seal_no")]


@pytest.fixture
def forge(db) -> Callable[..., None]:
    """Change the history with all triggers disabled, which only a superuser can do."""

    def run(statement: str, *parameters: object) -> None:
        with db.transaction(), triggers_off(db):
            assert db.execute(statement.encode(), parameters).rowcount == 1

    return run


def found(command):
    """The findings as (event, problem), and the exit status."""
    done = command("audit", "verify", "--json")
    return {(row["event_id"], row["problem"]) for row in json.loads(done.stdout)}, done.exit_code


FOLLOWS_NOT = "its seal does not follow from the one before"


def test_an_untouched_history_is_said_to_be_so(command, sealed, db):
    done = command("audit", "verify")

    assert done.exit_code == 0, done.output
    events, chain = db.execute(
        "select count(*), max(chain) filter (where seal_no = n) from bus.seals,"
        " (select max(seal_no) as n from bus.seals) as l"
    ).fetchone()
    assert f"{events:,} of" in done.output
    assert chain in done.output
    assert found(command) == (set(), 0)


def test_nothing_sealed_yet_is_no_finding(command, db):
    db.execute("select bus.record_event('test', null, 'told', null, '{}')")

    done = command("audit", "verify")

    assert (done.exit_code, "0 of" in done.output, "not begun" in done.output) == (0, True, True)


@pytest.mark.parametrize(
    "change",
    [
        "data = data || '{\"quantity\": 1}'",
        "at = at + interval '1 microsecond'",
        "actor = 'nobody'",
        "cause = 'something else'",
        "entity = 'other'",
        "entity_id = coalesce(entity_id, 0) + 1",
        "intent_id = coalesce(intent_id, 0) + 1",
        "correlation_id = coalesce(correlation_id, '') || '.'",
        "change = lower(change) || '.'",
    ],
)
def test_a_changed_event_is_named(command, sealed, forge, change):
    touched = sealed[len(sealed) // 2]
    forge(f"update bus.events set {change} where event_id = %s", touched)

    assert found(command) == ({(touched, "changed")}, 1)


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_removed_event_is_named(command, sealed, forge, which):
    forge("delete from bus.events where event_id = %s", sealed[which])

    assert found(command) == ({(sealed[which], "removed")}, 1)


def test_an_inserted_event_is_named(command, sealed, forge, db):
    forge(
        "insert into bus.events (event_id, generation, xid, cause, entity, change, data)"
        " overriding system value"
        " select 1000000, generation, xid, 'x', 'intent', 'FILLED', '{}' from bus.events where event_id = %s",
        sealed[len(sealed) // 2],
    )

    assert found(command) == ({(1000000, "inserted")}, 1)
    table = command("audit", "verify")
    assert (table.exit_code, "FILLED" in table.output) == (1, True)
    assert table.output.endswith("1 findings: the history has been changed.\n")


@pytest.mark.parametrize("which", [0, 3])
def test_a_removed_seal_is_named_by_its_event_and_by_the_next(command, sealed, forge, which):
    forge("delete from bus.seals where event_id = %s", sealed[which])

    assert found(command) == (
        {(sealed[which], "its seal was removed"), (sealed[which + 1], FOLLOWS_NOT)},
        1,
    )


def test_a_changed_seal_is_named(command, sealed, forge):
    forge("update bus.seals set event_hash = md5(event_hash) where event_id = %s", sealed[3])

    assert found(command) == ({(sealed[3], "changed"), (sealed[3], FOLLOWS_NOT)}, 1)


def test_an_event_changed_together_with_its_seal_is_named_by_the_chain(command, sealed, forge):
    forge("update bus.events set actor = 'nobody' where event_id = %s", sealed[3])
    forge(
        "update bus.seals as s set event_hash = bus.event_hash(e, s.hash_version) from bus.events as e"
        " where e.event_id = s.event_id and s.event_id = %s",
        sealed[3],
    )

    assert found(command) == ({(sealed[3], FOLLOWS_NOT)}, 1)


def test_an_inserted_seal_is_named(command, sealed, forge):
    forge(
        "insert into bus.seals (seal_no, event_id, generation, xid, event_hash, chain)"
        " select max(seal_no) + 1, 1000000, max(generation), max(xid::text)::xid8, 'x', 'x' from bus.seals"
    )

    assert found(command) == ({(1000000, "removed"), (1000000, FOLLOWS_NOT)}, 1)


def test_laws_that_held_and_one_that_did_not(command, sealed, forge):
    held = command("audit", "laws")
    assert (held.exit_code, held.output) == (0, "Every law held.\n")

    forge("update trade.balances set cash = cash + 1")

    broken = command("audit", "laws", "--json")
    assert broken.exit_code == 1
    assert {row["law"] for row in json.loads(broken.stdout)} == {"L3"}


def test_what_retention_dropped_is_no_finding_but_what_was_removed_beside_it_is(command, db, forge):
    """It drops twice, because the second drop must also list the first."""
    for _ in range(2):
        db.execute("select api.make_partitions(10)")
        for _ in range(30):
            db.execute("select bus.record_event('test', null, 'told', null, '{}')")
        db.execute(SEAL)
        db.execute("select set_config('aegis.now', (now() + interval '60 days')::text, false)")
        dropped = db.execute("select api.drop_partitions(now() + interval '1 day', 'test')").fetchone()
        db.execute("reset aegis.now")
        assert dropped >= (1,)
    db.execute(SEAL)

    assert found(command) == (set(), 0)

    (kept,) = db.execute("select max(event_id) from bus.events where entity = 'test'").fetchone()
    forge("delete from bus.events where event_id = %s", kept)
    assert found(command) == ({(kept, "removed")}, 1)
