"""schema/current.sql shows the tables as all migrations leave them; it is read by people and never applied.

After a migration: AEGIS_TEST_UPDATE=1 pytest tests/sql/test_current.py, then review the difference.
"""

from __future__ import annotations

import os

import pytest

from cli.database.files import schema_dir

CURRENT = schema_dir() / "current.sql"
HEAD = """\
-- The tables as all migrations leave them, written by tests/sql/test_current.py. To read, never to apply.
-- Partitions are left out; functions, views and triggers are in sql/.
"""
TABLES = """
select c.oid, c.oid::regclass::text, obj_description(c.oid), pg_get_partkeydef(c.oid)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
  and not c.relispartition
  and n.nspowner = 'aegis_owner'::regrole
order by
    array_position('{bus,market,risk,trade,strategy,learn,paper}'::text[], n.nspname::text), c.relname
"""
COLUMNS = """
select
    a.attname,
    format_type(a.atttypid, a.atttypmod),
    concat_ws(' ',
        case when a.attnotnull then 'not null' end,
        case a.attidentity when 'a' then 'generated always as identity' end,
        case
            when a.attgenerated = 's'
                then 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
            when d.oid is not null then 'default ' || pg_get_expr(d.adbin, d.adrelid)
        end),
    coalesce(col_description(a.attrelid, a.attnum), '')
from pg_attribute as a
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
CONSTRAINTS = """
select 'constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid, true)
from pg_constraint as k
where k.conrelid = %s and k.contype in ('p', 'u', 'f', 'c')
order by array_position(array['p', 'u', 'f', 'c'], k.contype::text), k.conname
"""
INDEXES = """
select pg_get_indexdef(i.indexrelid)
from pg_index as i
where i.indrelid = %s and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)
order by i.indexrelid::regclass::text
"""


def written(db) -> str:
    """Every table with its columns, constraints and indexes, in the words of the catalog."""
    parts = [HEAD]
    for oid, name, comment, partitioned in db.execute(TABLES).fetchall():
        columns = db.execute(COLUMNS, [oid]).fetchall()
        wide = max(len(column) for column, *_ in columns)
        lines = []
        for column, kind, rest, about in columns:
            lines += [f"    -- {about}", f"    {column:<{wide}} {kind} {rest}".rstrip() + ","]
        lines += [f"    {row[0]}," for row in db.execute(CONSTRAINTS, [oid])]
        lines[-1] = lines[-1].removesuffix(",")
        end = f") partition by {partitioned};" if partitioned else ");"
        indexes = [f"{row[0]};" for row in db.execute(INDEXES, [oid])]
        parts.append("\n".join([f"-- {comment}", f"create table {name} (", *lines, end, *indexes]) + "\n")
    return "\n".join(parts)


def test_it_shows_the_tables_as_they_are(db):
    if db.info.server_version < 180000:
        pytest.skip("written in the words of PostgreSQL 18")
    now = written(db)
    if os.environ.get("AEGIS_TEST_UPDATE"):
        CURRENT.write_text(now)

    assert CURRENT.read_text() == now, "see the docstring of this file"
