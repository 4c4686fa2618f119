"""What the documents promise is there: each row of docs/rounding.md names a test that exists."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
ROUNDING = TESTS.parent / "docs" / "rounding.md"


def test_each_place_that_rounds_names_a_test_that_exists():
    text = ROUNDING.read_text()
    rows = re.findall(r"`(test_\w+\.py)::(test_\w+)` \|$", text, re.M)

    assert len(rows) == text.count("\n|") - 2  # but the head and its line
    for file, name in rows:
        (path,) = TESTS.rglob(file)
        assert f"def {name}(" in path.read_text(), name
