"""`aegis db diagram` draws both lifecycles from the rows that the database enforces."""

from __future__ import annotations

import re

import pytest

ENDS = {
    "intent": {"FILLED", "CANCELLED", "REJECTED", "EXPIRED"},
    "order": {"FILLED", "CANCELLED", "REJECTED", "EXPIRED", "REPLACED"},
}
BEGINNINGS = {"intent": "NEW, PENDING_APPROVAL", "order": "SENDING"}
DOORS = {"intent": "intent_transitions", "order": "order_transitions"}


@pytest.mark.parametrize("noun", ["intent", "order"])
def test_the_text_has_every_move_once_and_says_where_it_begins_and_ends(command, db, noun):
    done = command("db", "diagram", noun)

    title, *lines = done.output.rstrip().splitlines()
    assert title == f"{noun} (begins as {BEGINNINGS[noun]})"
    drawn = [re.fullmatch(r"  (\w+) +(?:-> (.*)|end)", line).groups() for line in lines]
    assert {status for status, targets in drawn if targets is None} == ENDS[noun]
    moves = [(status, to) for status, targets in drawn if targets for to in targets.split(", ")]
    rows = db.execute(f"select from_status, to_status from api.{DOORS[noun]} where from_status <> 'BEGIN'")
    assert sorted(moves) == sorted(rows)


@pytest.mark.parametrize("noun", ["intent", "order"])
def test_the_mermaid_has_every_move_once(command, db, noun):
    done = command("db", "diagram", noun, "--mermaid")

    kind, *lines = done.output.rstrip().splitlines()
    assert kind == "stateDiagram-v2"
    moves = [tuple(line.strip().split(" --> ")) for line in lines]
    rows = db.execute(f"select from_status, to_status from api.{DOORS[noun]}").fetchall()
    inner = [("[*]" if start == "BEGIN" else start, to) for start, to in rows]
    assert sorted(moves) == sorted([*inner, *((status, "[*]") for status in ENDS[noun])])


def test_a_move_that_is_added_to_the_rows_is_drawn(command, db):
    db.execute("insert into trade.order_transitions values ('BEGIN', 'IN_DOUBT')")

    assert command("db", "diagram", "order").output.startswith("order (begins as IN_DOUBT, SENDING)")


def test_everything_is_drawn_when_nothing_is_named(command):
    page = command("db", "diagram").output

    assert [word in page for word in ("new_intent", "intent (begins", "order (begins")] == [True] * 3
