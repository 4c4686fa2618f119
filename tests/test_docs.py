"""The laws, rooms, functions and tests that the documents name exist."""

import re
from pathlib import Path

import pytest

from tests.mutations import MUTATIONS

TESTS = Path(__file__).parent
ROOT = TESTS.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")]
ROUNDING = DOCS / "rounding.md"
SQL = {path: path.read_text() for path in sorted((ROOT / "sql").rglob("*.sql"))}
LAWS = dict(re.findall(r"^\| (L\d+) [^|]+\| (.+) \|$", (DOCS / "LAWS.md").read_text(), re.M))


def test_each_place_that_rounds_names_a_test_that_exists():
    text = ROUNDING.read_text()
    rows = re.findall(r"`(test_\w+\.py)::(test_\w+)` \|$", text, re.M)

    assert len(rows) == text.count("\n|") - 2  # without the header and the line below it
    for file, name in rows:
        (path,) = TESTS.rglob(file)
        assert f"def {name}(" in path.read_text(), name


def test_the_laws_are_those_that_code_and_mutations_cite():
    cited = {law for text in SQL.values() for law in re.findall(r"\bL\d+\b", text)}
    taken_out = {mutation.law for mutation in MUTATIONS if re.fullmatch(r"L\d+", mutation.law)}

    assert set(LAWS) == cited | taken_out
    assert taken_out == set(LAWS), "each law has a mutation"


@pytest.mark.parametrize("law", LAWS)
def test_a_law_names_functions_and_a_test_that_exist(law):
    functions = re.findall(r"`([a-z]+\.\w+)`", LAWS[law])
    ((file, test),) = re.findall(r"`(test_\w+\.py)::(test_\w+)`", LAWS[law])

    for name in functions:
        assert any(f" {name}" in text for text in SQL.values()), name
    assert any(f"def {test}(" in path.read_text() for path in TESTS.rglob(file)), test


def test_the_map_names_every_room():
    rooms = {path.relative_to(ROOT / "sql").parts[0] for path in SQL}

    assert set(re.findall(r"`(\d\d_\w+(?:\.sql)?)`", (DOCS / "ARCHITECTURE.md").read_text())) == rooms


def test_no_file_of_the_rooms_is_longer_than_300_lines():
    assert [path.name for path, text in SQL.items() if text.count("\n") > 300] == []


def test_links_between_documents_lead_somewhere():
    for page in (*DOCS.rglob("*.md"), *PAGES):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["README.md", "examples/README.md"])
def test_prose_that_a_newcomer_reads_is_narrow(page):
    prose = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.M | re.S)

    assert [line for line in prose.splitlines() if len(line) > 100 and not line.startswith("|")] == []
