"""Each script in examples/ prints what the file beside it says, run by psql in a database of its own.

After a change: AEGIS_TEST_UPDATE=1 pytest tests/test_examples.py, then review the difference.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.database.binaries import find_binaries
from tests.conftest import Dsn, PgServer

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MARKET = EXAMPLES / "setup" / "market.sql"
SCRIPTS = sorted(EXAMPLES.glob("*.sql"))
INDEX = EXAMPLES / "README.md"

# The context of an error names lines of functions, which any change of their file moves.
FLAGS = ("--no-psqlrc", "--quiet", "--set=SHOW_CONTEXT=never")
ENVIRONMENT = {"LC_ALL": "C", "PGCLIENTENCODING": "UTF8", "PGTZ": "Asia/Seoul"}

Psql = Callable[..., str]


@pytest.fixture
def psql(pg_server: PgServer, database: str) -> Psql:
    """Run a script as the administrator; return what it prints, errors in their place among the results."""
    program = find_binaries().program("psql")

    def run(script: Path, *options: str) -> str:
        done = subprocess.run(
            [program, *FLAGS, *options, pg_server.url(database)],
            input=script.read_bytes(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | ENVIRONMENT,
            cwd=ROOT,
            check=False,
        )
        printed = done.stdout.decode()
        assert done.returncode == 0, printed
        return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_prints_what_the_file_beside_it_says(script: Path, psql: Psql, dsn: Dsn) -> None:
    for strategy in sorted(set(re.findall(r"aegis_s_\w+", script.read_text()))):
        dsn(strategy)  # creates the login, as `aegis strategy add` does
    psql(MARKET, "--set=ON_ERROR_STOP=1")

    printed = psql(script, "--echo-all")

    output = script.with_suffix(".out")
    if os.environ.get("AEGIS_TEST_UPDATE"):
        output.write_text(printed)
    assert output.read_text() == printed, "see the docstring of this file"


def test_each_example_has_an_output_and_each_output_an_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.out")} == {path.stem for path in SCRIPTS}


def test_the_index_lists_each_example_with_its_output() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.sql\) .*\[output\]\((\w+)\.out\)", INDEX.read_text(), re.M)

    assert sorted(listed) == [(script.stem,) * 3 for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_says_first_what_it_shows_in_two_or_three_sentences(script: Path) -> None:
    lines = itertools.takewhile(lambda line: line.startswith("-- "), script.read_text().splitlines())
    comment = " ".join(line.removeprefix("-- ") for line in lines)

    assert len(re.findall(r"[.?!](?=\s|$)", comment)) in (2, 3), comment
