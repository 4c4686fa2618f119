"""The SQL stays easy to read: no long function and no repeated code."""

import re
from itertools import combinations
from statistics import median

from cli.database.files import sql_dir

BODY = re.compile(
    r"^create or replace function (?P<name>[\w.]+)\((?:(?!^create ).)*?"
    r"(?:\nas \$\$\n(?P<plpgsql>.*?)\n\$\$;|\nbegin atomic\n(?P<atomic>.*?)\nend;)",
    re.M | re.S,
)
LONGEST = 60  # lines of a body
LONGEST_REPETITION = 10  # consecutive lines that two bodies may share, not counting blank ones
SAME = dict[tuple[str, str], str]()  # pairs that may share more, and why: none so far


def bodies() -> dict[str, str]:
    found = {}
    for path in sorted(sql_dir().rglob("*.sql")):
        for match in BODY.finditer(path.read_text()):
            found[match["name"]] = match["plpgsql"] or match["atomic"]
    return found


def longest_run(one: list[str], other: list[str]) -> int:
    """Length of the longest run of lines that two lists share."""
    longest, before = 0, [0] * (len(other) + 1)
    for line in one:
        now = [0] * (len(other) + 1)
        for at, same in enumerate(other):
            if line == same:
                now[at + 1] = before[at] + 1
        longest, before = max(longest, *now), now
    return longest


def test_no_function_is_long():
    lengths = {name: body.count("\n") + 1 for name, body in bodies().items()}

    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
    assert len(lengths) > 300
    assert median(lengths.values()) < 20


def test_nothing_is_written_twice():
    lines = {
        name: [line.strip() for line in body.splitlines() if line.strip()] for name, body in bodies().items()
    }
    long = {name: body for name, body in lines.items() if len(body) > LONGEST_REPETITION}
    shared = {
        pair: run
        for pair in combinations(long, 2)
        if (run := longest_run(long[pair[0]], long[pair[1]])) > LONGEST_REPETITION
    }

    assert set(shared) == set(SAME), shared


def test_comments_and_grants_name_a_function_without_its_arguments():
    """There is one function of each name, so a list of arguments would only have to be kept true."""
    named = re.compile(r"(?:comment on function|grant execute on function)[^;]*?\b(\w+\.\w+)\(", re.S)
    texts = {file.name: file.read_text() for file in sql_dir().rglob("*.sql")}
    found = {name: named.findall(re.sub(r"'[^']*'|--[^\n]*", "", text)) for name, text in texts.items()}

    assert {name: functions for name, functions in found.items() if functions} == {}
