"""Find the examples in the README that are marked to be run, and compare their output.

A fenced ```console block under a line `<!-- run -->` is run: lines that begin with `$ aegis` are commands,
lines with a psql prompt (`demo demo=> select 1;`) are statements for `aegis db psql`, and the lines after
each are its output.  Names and layout must match; numbers, times and the rows of a table may differ, and a
line `...` matches any lines.  The number after explain is replaced by the id of an existing intent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

MARK = "<!-- run -->"
FENCE = "```"
COMMAND = re.compile(r"\$ aegis (?P<text>.*)")
PROMPT = re.compile(r"(?:\w+ )?\w+=[*!]?[>#] (?P<text>.*)")
MORE = re.compile(r"(?:\w+ )?\w+[-'(][*!]?[>#] (?P<text>.*)")
OPENS_PSQL = "db psql"
NUMBER = re.compile(r"[-+]?\d[\d.,:]*")
RULE = re.compile(r"-[-+]+")
ANYTHING = ("...", "…")


@dataclass
class Example:
    """One command or statement, its line in the README, and its expected output."""

    line: int
    text: str
    is_sql: bool
    output: list[str] = field(default_factory=list)


def examples(readme: str) -> Iterator[Example]:
    """The examples of all marked blocks, in order."""
    lines = readme.splitlines()
    for number, line in enumerate(lines):
        if line.strip() == MARK:
            yield from _block(lines, number + 1)


def _block(lines: Sequence[str], start: int) -> Iterator[Example]:
    if start >= len(lines) or lines[start].strip() != f"{FENCE}console":
        raise ValueError(f"line {start}: {MARK} stands above no {FENCE}console")
    example: Example | None = None
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip() == FENCE:
            if example is not None:
                yield example
            return
        if found := COMMAND.fullmatch(line) or PROMPT.fullmatch(line):
            if example is not None and example.text != OPENS_PSQL:
                yield example
            example = Example(number + 1, found["text"], is_sql=found.re is PROMPT)
        elif (found := MORE.fullmatch(line)) and example is not None and not example.output:
            example.text += "\n" + found["text"]
        elif example is None:
            raise ValueError(f"line {number + 1}: a marked block begins with $ aegis or a psql prompt")
        else:
            example.output.append(line)
    raise ValueError(f"line {start + 1}: the block has no end")


def shape(output: Sequence[str]) -> list[str]:
    """The parts of an output that must match: table columns, whether rows exist, labels of other lines."""
    found: list[str] = []
    lines = [line.rstrip() for line in output]
    number = 0
    while number < len(lines):
        line = lines[number]
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if below and RULE.fullmatch(below):
            columns = ", ".join(column.strip() for column in line.split("|"))
            number += 2
            first = number
            while number < len(lines) and lines[number] and not lines[number].startswith("("):
                number += 1
            found.append(f"table of {columns}: {'rows' if number > first else 'empty'}")
            number += number < len(lines) and lines[number].startswith("(")
            continue
        if line.strip():
            found.append(_label(line))
        number += 1
    return found


def _label(line: str) -> str:
    """The line up to its first gap of two blanks, with every number replaced by 0."""
    label = re.split(r"\s{2,}", line.strip())[0]
    return NUMBER.sub("0", label)


def missing(expected: Sequence[str], actual: Sequence[str]) -> list[str]:
    """The parts of the expected output, from the first one that the actual output lacks in this order."""
    rest = iter(shape(actual))
    wanted = [one for one in shape(expected) if one not in ANYTHING]
    for number, one in enumerate(wanted):
        if one not in rest:
            return wanted[number:]
    return []
