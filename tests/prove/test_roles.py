"""L11: every login tries every function, view and table, and gets exactly the access of the committed list.

tests/sql/test_privileges.py compares the grants in the catalog with the list; this test makes the calls.  A
function is called with nulls in a transaction that is rolled back: it matters only whether PostgreSQL refuses
the call (42501) before the function begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.database.logins import LOGINS
from tests.prove.place import STRATEGY, Connect, Connection, Place

LISTED = (Path(__file__).parents[1] / "sql" / "privileges.txt").read_text().splitlines()
ROLES = {
    **{login: frozenset(groups) for login, groups in LOGINS.items()},
    f"aegis_s_{STRATEGY}": {"aegis_strategy"},
}
REFUSED = "42501"
NO_SUCH_WRITE = "55000"  # a view that nobody can write to

FUNCTIONS = """
select p.oid::regprocedure::text, n.nspname || '.' || p.proname, p.pronargs
from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
where n.nspowner = 'aegis_owner'::regrole and p.prorettype <> 'trigger'::regtype
"""
RELATIONS = """
select c.oid::regclass::text
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where n.nspowner = 'aegis_owner'::regrole and c.relkind in ('r', 'p', 'v')
"""


def granted(kind: str, right: str) -> dict[str, set[str]]:
    """The groups that have this right in the committed list, for each object."""
    found: dict[str, set[str]] = {}
    for line in LISTED:
        if match := re.fullmatch(rf"{kind} (.+): (\w+) ([\w, ]+)", line):
            target, group, rights = match.groups()
            if right in rights.split(", "):
                found.setdefault(target, set()).add(group)
    return found


@pytest.fixture(scope="module")
def opened(place: Place, connect: Connect) -> Iterator[dict[str, Connection]]:
    """A session of each login, with a search path that finds no object of Aegis by chance."""
    sessions = {login: connect(login) for login in ROLES}
    for conn in sessions.values():
        conn.execute("set statement_timeout = '5s'; set lock_timeout = '1s'; set search_path = pg_catalog")
    yield sessions
    for conn in sessions.values():
        conn.close()


def is_refused(conn: Connection, statement: str) -> bool:
    """Whether PostgreSQL itself refuses the statement; every other outcome counts as allowed."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement.encode())
    except psycopg.Error as error:
        denied = error.sqlstate == REFUSED and "permission denied" in str(error)
        return denied or error.sqlstate == NO_SUCH_WRITE
    return False


def disagreements(
    conn: Connection, groups: Any, rights: dict[str, set[str]], tries: dict[str, str]
) -> list[str]:
    """The tries whose outcome differs from the list; a right counts only with usage on the schema."""
    schemas = granted("schema", "usage")
    wrong = []
    for target, statement in tries.items():
        enters = schemas.get(target.partition(".")[0], set())
        allowed = bool(rights.get(target, set()) & set(groups)) and bool(enters & set(groups))
        if is_refused(conn, statement) == allowed:
            wrong.append(f"{target} must be {'allowed' if allowed else 'refused'}")
    return wrong


@pytest.mark.parametrize("role", ROLES)
def test_a_login_calls_its_own_functions_and_no_other(place: Place, opened: Any, role: str) -> None:
    tries = {
        signature: f"select {name}({', '.join(_nulls(signature, count))})"
        for signature, name, count in place.db.execute(FUNCTIONS).fetchall()
    }

    assert len(tries) > 100
    assert disagreements(opened[role], ROLES[role], granted("function", "execute"), tries) == []


def _nulls(signature: str, count: int) -> list[str]:
    """A null of each parameter's type, so that no other overload is called."""
    inside = signature[signature.index("(") + 1 : -1]
    return [f"null::{kind}" for kind in inside.split(",")] if count else []


@pytest.mark.parametrize("role", ROLES)
def test_a_login_reads_its_own_views_and_no_table(place: Place, opened: Any, role: str) -> None:
    relations = [name for (name,) in place.db.execute(RELATIONS).fetchall()]
    rights = granted("(?:view|table)", "select")

    assert len(relations) > 60
    tries = {name: f"select from {name} limit 0" for name in relations}
    assert disagreements(opened[role], ROLES[role], rights, tries) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_login_writes_no_table_and_no_view_but_the_mode(place: Place, opened: Any, role: str) -> None:
    relations = [name for (name,) in place.db.execute(RELATIONS).fetchall()]
    writes = {
        "insert": "insert into {} default values",
        "delete": "delete from {}",
        "truncate": "truncate {}",
    }

    for statement in writes.values():
        tries = {
            name: statement.format(name)
            for name in relations
            if "truncate" not in statement or name[:4] != "api."
        }
        assert disagreements(opened[role], ROLES[role], {}, tries) == []

    update = {"api.system_mode": "update api.system_mode set mode = null, reason = null where false"}
    rights = {"api.system_mode": granted("column", "update").get("api.system_mode.mode", set())}
    assert disagreements(opened[role], ROLES[role], rights, update) == []
