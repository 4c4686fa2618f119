"""The kinds of guards that a mutation can remove."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LAWS = Path(__file__).parents[1] / "sql" / "laws"
FILES = {path.name: path for path in LAWS.rglob("test_*.py")}


@dataclass(frozen=True)
class Mutation:
    """One guard to remove, and the test that must then fail.

    The test is written as `test_file.py::test_name`, without a folder: no two files of the laws share a name.
    """

    law: str
    removed: str
    sql: str
    test: str

    @property
    def file(self) -> Path:
        return FILES[self.test.partition("::")[0]]

    @property
    def function(self) -> str:
        return self.test.partition("::")[2]

    @property
    def node(self) -> str:
        return f"{self.file}::{self.function}"


def constraint(law: str, table: str, name: str, test: str) -> Mutation:
    return Mutation(law, f"{table}.{name}", f"alter table {table} drop constraint {name} cascade", test)


def trigger(law: str, table: str, name: str, test: str) -> Mutation:
    return Mutation(law, f"{table}.{name}", f"drop trigger {name} on {table}", test)


def index(law: str, name: str, test: str) -> Mutation:
    return Mutation(law, name, f"drop index {name}", test)


def code(law: str, function: str, old: str, new: str, test: str) -> Mutation:
    """Replace a check in the text of a function; this fails if the check is no longer there."""
    return Mutation(
        law, f"{function}: {old}", _rewrite(f"pg_get_functiondef('{function}'::regproc)", old, new), test
    )


def rule(law: str, function: str, name: str, test: str) -> Mutation:
    """Take one rule out of a function that names the rule a row breaks."""
    return code(law, function, f"'{name}'::text", "NULL::text", test)


def view(law: str, name: str, old: str, new: str, test: str) -> Mutation:
    """Replace a condition of a view, written as pg_get_viewdef prints it."""
    definition = f"'create or replace view {name} as ' || pg_get_viewdef('{name}'::regclass)"
    return Mutation(law, f"{name}: {old}", _rewrite(definition, old, new), test)


def _rewrite(definition: str, old: str, new: str) -> str:
    return f"""
        do $mutate$
        declare
            v_definition text := {definition};
        begin
            if position($old${old}$old$ in v_definition) = 0 then
                raise exception 'there is no such check to remove';
            end if;
            execute replace(v_definition, $old${old}$old$, $new${new}$new$);
        end
        $mutate$"""
