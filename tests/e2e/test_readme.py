"""Run the examples of the README on a trading system; they print what the README says."""

import re
import shlex

import pytest

from tests.e2e.readme import Example, examples, missing
from tests.e2e.system import ROOT, System
from tests.e2e.test_path import ROUND_TRIP

README = (ROOT / "README.md").read_text()

SAMPLE = """
Look at it:

<!-- run -->
```console
$ aegis db psql
demo demo=> select mode, reason
demo demo-> from system_mode;
  mode  | reason
--------+---------
 NORMAL | created
(1 row)

$ aegis positions
...
2 positions  all fine
```

```console
$ aegis not checked
```
"""


def test_examples_are_found_with_their_output() -> None:
    found = list(examples(SAMPLE))

    assert [(example.text, example.is_sql) for example in found] == [
        ("select mode, reason\nfrom system_mode;", True),
        ("positions", False),
    ]
    assert found[0].output[0] == "  mode  | reason"
    assert found[1].output == ["...", "2 positions  all fine"]


@pytest.mark.parametrize(
    "broken",
    [
        "<!-- run -->\n",
        "<!-- run -->\n```console\nhello\n```",
        "<!-- run -->\n```console\n$ aegis up",
    ],
)
def test_a_mark_without_a_proper_block_is_an_error(broken: str) -> None:
    with pytest.raises(ValueError, match="line"):
        list(examples(broken))


def test_numbers_and_rows_may_differ_but_names_and_layout_may_not() -> None:
    table = [" mode | since", "------+-------", " HALT | 12:00", "(1 row)"]
    same = [
        " mode |  since",
        "------+--------",
        " SAFE | 13:37",
        " HALT | 1:2",
        "(2 rows)",
        "",
        "3 positions",
    ]

    assert missing([*table, "1 positions"], same) == []
    assert missing([" mode | until", "------+-------", " HALT | 12:00", "(1 row)"], same) != []
    assert missing(["4 orders"], same) == ["0 orders"]
    assert missing(table, [" mode | since", "------+-------", "(0 rows)"]) != []


def test_the_examples_of_the_readme_print_what_it_says(system: System) -> None:
    assert list(examples(README)), "the README shows nothing that was run"
    system.start()
    intent = system.wait_for(ROUND_TRIP, within=40, what="a buy that a stop or target sold again")

    wrong = [line for example in examples(README) for line in check(system, example, intent)]

    assert wrong == [], "\n".join(wrong)


def check(system: System, example: Example, intent: int) -> list[str]:
    """Run an example; return what is wrong with its output."""
    text = re.sub(r"(explain\W+)\d+", rf"\g<1>{intent}", example.text)
    arguments = ["db", "psql", "--", "-c", text] if example.is_sql else shlex.split(text, comments=True)
    done = system.aegis(*arguments)
    lacks = missing(example.output, (done.stdout + done.stderr).splitlines())
    if not lacks:
        return []
    return [f"README.md:{example.line}: {text!r} lacks {lacks}; it printed:\n{done.stdout}{done.stderr}"]
