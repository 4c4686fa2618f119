"""House rules of the SQL, checked in the catalog: it holds exactly what the files define."""

from __future__ import annotations

import re

import pytest

from cli.database.files import read_source

# Do not use the migrator's own parser. In the house style every definition starts a line.
# At the beginning of a line, or built from rows by a block of the same file.
FUNCTION = re.compile(r"(?:^|execute ')create or replace (?:function|aggregate) (\w+\.\w+) ?\(", re.M)
VIEW = re.compile(r"(?:^|execute ')create or replace view (\w+\.\w+)", re.M)
TRIGGER = re.compile(r"^create (?:or replace |constraint )?trigger (\w+)\s.*?\son (\w+\.\w+)", re.M | re.S)
OURS = "(select oid from pg_namespace where nspowner = 'aegis_owner'::regrole)"


@pytest.fixture(scope="module")
def files():
    """All SQL of a test database as one text."""
    source = read_source("test")
    return "\n".join(file.text for file in (*source.migrations, *source.code))


def names(db, query):
    return sorted(row[0] for row in db.execute(query))


def test_the_functions_are_exactly_those_in_the_files(db, files):
    """Compare counts too: a changed signature leaves its old overload behind."""
    found = names(db, f"select oid::regproc::text from pg_proc where pronamespace in {OURS}")

    assert found == sorted(FUNCTION.findall(files))


def test_the_views_are_exactly_those_in_the_files(db, files):
    found = names(
        db, f"select oid::regclass::text from pg_class where relkind = 'v' and relnamespace in {OURS}"
    )

    assert found == sorted(VIEW.findall(files))


def test_the_triggers_are_exactly_those_in_the_files(db, files):
    """Leave out the triggers of partitions, which a scheduled job creates."""
    found = names(
        db,
        f"""
        select t.tgname || ' on ' || t.tgrelid::regclass
        from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace in {OURS} and not t.tgisinternal and t.tgparentid = 0 and not c.relispartition
        """,
    )

    assert found == sorted(f"{name} on {table}" for name, table in TRIGGER.findall(files))


def test_a_trigger_on_columns_names_all_that_its_condition_compares(db):
    """A column left out could change without the trigger's condition being evaluated."""
    triggers = db.execute(
        """
        select
            t.tgname,
            pg_get_triggerdef(t.oid),
            array(
                select a.attname from pg_attribute as a
                where a.attrelid = t.tgrelid and a.attnum = any(t.tgattr)
            )
        from pg_trigger as t
        where t.tgqual is not null and array_length(t.tgattr, 1) > 0
        """
    ).fetchall()

    assert {name for name, *_ in triggers} >= {"_300_keep_decision", "_310_keep_decision"}
    for name, definition, columns in triggers:
        assert set(re.findall(r"\bnew\.(\w+)", definition)) <= set(columns), name


# One query per rule; it returns what breaks the rule.
RULES = {
    "every schema has a comment": f"""
        select nspname from pg_namespace where oid in {OURS} and obj_description(oid, 'pg_namespace') is null
    """,
    "every table and view has a comment": f"""
        select oid::regclass from pg_class
        where relnamespace in {OURS} and relkind in ('r', 'p', 'v', 'm')
          and obj_description(oid, 'pg_class') is null
    """,
    "every column of a table has a comment": f"""
        select c.oid::regclass || '.' || a.attname
        from pg_class as c join pg_attribute as a on a.attrelid = c.oid
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
          and not c.relispartition and col_description(c.oid, a.attnum) is null
    """,
    "every function has a comment": f"""
        select oid::regprocedure from pg_proc
        where pronamespace in {OURS} and prorettype <> 'trigger'::regtype
          and obj_description(oid, 'pg_proc') is null
    """,
    "a function that acts for its caller finds names in pg_catalog first": f"""
        select oid::regprocedure from pg_proc
        where pronamespace in {OURS} and prosecdef
          and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)
    """,
    "a plpgsql function has a fixed search path": f"""
        select p.oid::regprocedure from pg_proc as p join pg_language as l on l.oid = p.prolang
        where p.pronamespace in {OURS} and l.lanname = 'plpgsql'
          and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
    """,
    "security definer stands only in api, or in a trigger": f"""
        select oid::regprocedure from pg_proc
        where pronamespace in {OURS} and prosecdef and pronamespace <> 'api'::regnamespace
          and prorettype <> 'trigger'::regtype
    """,
    "the door holds no tables": """
        select oid::regclass from pg_class
        where relnamespace = 'api'::regnamespace and relkind not in ('v', 'c')
    """,
    "every foreign key that is followed has an index": f"""
        select c.conrelid::regclass || ' ' || c.conname from pg_constraint as c
        where c.connamespace in {OURS} and c.contype = 'f' and c.confdeltype = 'c'
          and not exists (
              select from pg_index as i
              where i.indrelid = c.conrelid and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey
          )
    """,
    "every constraint is named by what it promises, not by PostgreSQL": f"""
        select conrelid::regclass || ' ' || conname from pg_constraint
        where connamespace in {OURS} and contype = 'c' and conname ~ '_check[0-9]*$'
    """,
    "every primary key is there": f"""
        select oid::regclass from pg_class as c
        where relnamespace in {OURS} and relkind in ('r', 'p') and not relispartition
          and not exists (select from pg_constraint where conrelid = c.oid and contype = 'p')
          and oid <> 'risk.gate'::regclass
    """,
}


@pytest.mark.parametrize("rule", RULES)
def test_house_rule(db, rule):
    assert [str(row[0]) for row in db.execute(RULES[rule])] == [], rule
