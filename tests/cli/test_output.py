"""Tables for people: whatever the width of the terminal, no number is cut off."""

import datetime as dt
import io
import re
import sys
from decimal import Decimal

import pytest

from cli.common.output import Output

FILL = {
    "fill_id": 88,
    "filled_at": dt.datetime(2026, 3, 2, 1, 2, 3, tzinfo=dt.UTC),
    "account": "paper-krw",
    "symbol": "1000SATSUSDT",
    "owner": "mean_reversion",
    "quantity": Decimal("0.00012345"),
    "price": Decimal("61234.56789"),
    "reason": "2.6 deviations below its average, which is a long story for a narrow column",
    "note": "",
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch):
    """Return a function that prints rows as on a terminal of a given width and returns the text."""

    def show(width, rows, *, title=None):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stdout", Terminal())
        Output().table(rows, title=title)
        text = re.sub(r"\x1b\[[0-9;]*m", "", sys.stdout.getvalue())
        monkeypatch.undo()
        return text

    return show


@pytest.mark.parametrize("width", [40, 80, 100, 120, 140, 200])
def test_numbers_and_names_are_whole_at_every_width(shown, width):
    text = shown(width, [FILL, FILL | {"fill_id": 89}])

    assert max(map(len, text.splitlines())) <= width
    for value in ("88", "89", "paper-krw", "1000SATSUSDT", "mean_reversion", "0.00012345", "61234.56789"):
        assert value in text
    assert "…" not in text


def test_a_wide_terminal_shows_a_table_and_a_narrow_one_a_paragraph_for_each_row(shown):
    wide, narrow = shown(160, [FILL]), shown(80, [FILL], title="The last one")

    assert wide.splitlines()[1].split()[:3] == ["fill_id", "filled_at", "account"]
    assert narrow.splitlines()[0] == "The last one"
    assert narrow.splitlines()[1].startswith("fill_id 88  filled_at ")
    assert "symbol 1000SATSUSDT" in narrow
    assert "note" not in narrow, "what is empty is left out"


def test_only_prose_is_wrapped(shown):
    story = {"at": "10:00:00", "what": "a word and another " * 10}

    lines = shown(80, [story]).splitlines()

    assert lines[1].split() == ["at", "what"]
    assert sum("a word" in line or "another" in line for line in lines) > 1
