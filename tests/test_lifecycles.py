"""docs/LIFECYCLES.md shows the lifecycles as the transition rows that the database enforces.

After a migration that adds a transition: AEGIS_TEST_UPDATE=1 pytest tests/test_lifecycles.py draws the
diagrams again; the meaning of a new status is written by hand.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cli.database.diagram import BEGIN, lifecycle_mermaid
from tests.conftest import Connection

PAGE = Path(__file__).parents[1] / "docs" / "LIFECYCLES.md"
SECTION = r"(^## {title}\n.*?^```mermaid\n)(.*?)(\n```\n.*?)(?=^## |\Z)"
MOVES = {
    "Intents": "select from_status, to_status from api.intent_transitions",
    "Orders": "select from_status, to_status from api.order_transitions",
}


@pytest.mark.parametrize("title", MOVES)
def test_the_page_draws_a_lifecycle_as_its_rows_are_and_explains_each_status(
    db: Connection, title: str
) -> None:
    moves = db.execute(MOVES[title].encode()).fetchall()
    drawn = lifecycle_mermaid(moves)
    section = re.compile(SECTION.format(title=title), re.M | re.S)
    if os.environ.get("AEGIS_TEST_UPDATE"):
        PAGE.write_text(section.sub(lambda found: found[1] + drawn + found[3], PAGE.read_text()))

    found = section.search(PAGE.read_text())
    assert found is not None, title
    assert found[2] == drawn, "see the docstring of this file"
    explained = re.findall(r"^\| `(\w+)` \| .+ \|$", found[3], re.M)
    assert sorted(explained) == sorted({status for move in moves for status in move} - {BEGIN})
