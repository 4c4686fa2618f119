"""Every refusal of the database is one class, whichever driver raised it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import psycopg
import pytest

from workers.runtime.errors import CODES, NotEnoughQuantity, Refused, teach_asyncpg

teach_asyncpg()

ROOT = Path(__file__).parents[2]
RAISE = """
    do $$ begin
        raise exception 'one fact about {code}'
            using errcode = '{code}', detail = 'a detail', hint = 'A hint that helps.';
    end $$
"""


@pytest.fixture(scope="session")
def pg_dsn(pg_server):
    """The URL of any database; the tests raise the codes themselves."""
    return pg_server.url("postgres")


def test_there_is_one_class_for_each_code():
    assert len(CODES) == len(set(CODES.values())) >= 22
    assert all(re.fullmatch("TR[A-Z][0-9]{2}", code) for code in CODES)
    assert all(refusal.sqlstate == code for code, refusal in CODES.items())


def test_every_code_the_database_raises_has_a_class():
    sql = [*ROOT.glob("sql/**/*.sql"), *ROOT.glob("schema/*.sql")]

    raised = {code for file in sql for code in re.findall(r"'(TR[A-Z][0-9]{2})'", file.read_text())}

    assert raised <= set(CODES)


@pytest.mark.parametrize("code", CODES)
async def test_both_drivers_raise_the_same_class_with_the_same_words(code, pg_dsn):
    with pytest.raises(Refused) as by_psycopg, psycopg.connect(pg_dsn) as connection:
        connection.execute(RAISE.format(code=code))
    connection = await asyncpg.connect(pg_dsn)
    with pytest.raises(Refused) as by_asyncpg:
        await connection.execute(RAISE.format(code=code))

    assert await connection.fetchval("select 1") == 1
    await connection.close()
    for error in (by_psycopg.value, by_asyncpg.value):
        assert isinstance(error, CODES[code])
        assert str(error) == error.message == f"one fact about {code}"
        assert error.sqlstate == code
        assert error.detail == "a detail"
        assert error.hint == "A hint that helps."


async def test_a_refusal_is_still_an_error_of_its_driver(pg_dsn):
    with pytest.raises(psycopg.DatabaseError), psycopg.connect(pg_dsn) as connection:
        connection.execute(RAISE.format(code="TRQ01"))
    connection = await asyncpg.connect(pg_dsn)
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute(RAISE.format(code="TRQ01"))

    await connection.close()


def test_one_refusal_is_not_taken_for_another(pg_dsn):
    with pytest.raises(Refused) as caught, psycopg.connect(pg_dsn) as connection:
        connection.execute(RAISE.format(code="TRM01"))

    assert not isinstance(caught.value, NotEnoughQuantity)


@pytest.mark.parametrize(
    "program",
    [
        "import psycopg, workers.runtime.errors",
        "import workers.runtime.errors as errors; import psycopg; errors.teach_psycopg()",
        "import workers.runtime.errors as errors, psycopg; errors.teach_psycopg(); errors.teach_psycopg()",
    ],
)
def test_the_order_of_imports_does_not_matter(program):
    check = "; from psycopg import errors as e; assert e.lookup('TRM01').__name__ == 'TradingHalted'"

    subprocess.run([sys.executable, "-c", program + check], cwd=ROOT, check=True)


def test_whoever_opens_a_worker_s_connections_has_taught_its_driver():
    program = "import workers.runtime.errors as errors, workers.runtime.database; import asyncpg"
    check = (
        "; assert asyncpg.PostgresError.get_message_class_for_sqlstate('TRM01').__name__ == 'TradingHalted'"
    )

    subprocess.run([sys.executable, "-c", program + check], cwd=ROOT, check=True)


def test_the_errors_alone_bring_no_driver_along():
    program = "import sys, workers.runtime.errors; assert not {'psycopg', 'asyncpg'} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
