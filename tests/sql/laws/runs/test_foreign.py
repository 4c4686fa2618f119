"""A restored backup or a copy is recognised when a run begins, and halted."""

import pytest

from tests.sql.laws.market_kit import refusal
from tests.sql.laws.runs.runs_kit import begin, instance, make_foreign, mode

END_OF_LOG = "FFFFFFFF/FFFFFFFF"


def test_with_the_marker_it_gave_a_database_goes_on(kit):
    first = kit.call("supervisor", "select run_marker(null)")

    second = begin(kit, first)
    third = begin(kit, second.marker)

    assert (second.foreign_because, third.foreign_because) == (None, None)
    assert third.run_number == second.run_number + 1
    assert mode(kit).mode == "NORMAL"


def test_a_database_that_never_ran_needs_no_marker(kit):
    kit.db.execute("update bus.instance set run_number = 0")

    assert begin(kit, "").foreign_because is None


@pytest.mark.parametrize(
    ("marker", "why"),
    [
        ("", "the marker outside the database is missing"),
        ("nonsense", "the marker outside the database cannot be read"),
        ("x:1", "the marker outside the database cannot be read"),
        ("x:1:0/0:", "the marker outside the database cannot be read"),
        ("x:" + "9" * 30 + ":0/0", "the marker outside the database cannot be read"),
        ("other:1:0/0", "the marker speaks of epoch other"),
        ("{epoch}:99:0/0", "the marker has seen run 99, this database only 1"),
        ("{epoch}:1:" + END_OF_LOG, "the marker has seen its log up to " + END_OF_LOG),
    ],
)
def test_whatever_the_marker_contradicts_is_foreign(kit, marker, why):
    before = instance(kit)

    run = begin(kit, marker.format(epoch=before.epoch))

    after = instance(kit)
    assert run.foreign_because.startswith(why)
    assert after.is_foreign
    assert after.generation == before.generation + 1
    assert after.epoch != before.epoch
    assert (mode(kit).mode, mode(kit).reason) == (
        "HALT",
        f"restored or copied database: {run.foreign_because}",
    )
    assert kit.incidents() == [("foreign_database", True)]
    assert run.marker.startswith(f"{after.epoch}:{after.run_number}:")


@pytest.mark.parametrize("changed", ["1/1/1", "", "{}9", "9{}"])
def test_another_server_timeline_or_database_is_foreign_with_the_right_marker_too(kit, changed):
    marker = kit.call("supervisor", "select run_marker(null)")
    kit.db.execute("update bus.instance set identity = %s", [changed.format(instance(kit).identity)])

    assert begin(kit, marker).foreign_because.startswith("it was on server")


def test_it_stays_foreign_over_starts_under_one_new_epoch(kit):
    make_foreign(kit)
    epoch = instance(kit).epoch

    run = begin(kit, kit.call("supervisor", "select run_marker(null)"))

    assert run.foreign_because == "it was not adopted yet"
    assert instance(kit).epoch == epoch


def test_a_database_that_was_exchanged_under_a_run_ends_it(kit):
    kept = kit.call("supervisor", "select run_marker(null)")
    assert kit.call("supervisor", "select run_marker(%s)", kept)
    kit.db.execute("update bus.instance set run_number = 0, identity = 'older/1/1'")
    kit.db.execute("update bus.instance set run_number = 1")

    assert refusal(lambda: kit.call("supervisor", "select run_marker(%s)", kept)) == "TRI04"
