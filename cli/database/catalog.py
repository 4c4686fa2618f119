"""Find the objects that `sql/` defines in the catalog, and drop those it no longer defines.

A deployment must leave exactly what the files define.  Instead of parsing SQL, compare the ctids of the
catalog rows: `create or replace` always writes a new row version, so an object whose row kept its ctid while
`sql/` was applied is no longer defined by the files.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import psycopg

from cli.database.errors import MigrationError

Connection: TypeAlias = psycopg.Connection[Any]
Places: TypeAlias = Mapping["CodeObject", str]


class CodeObject(NamedTuple):
    """A trigger, view or function that `sql/` manages."""

    kind: str  # as written in DROP
    oid: int
    name: str


# Names come out qualified because a deployment runs with search_path = pg_catalog.
_OBJECTS = """
with ours as (select oid from pg_namespace where nspowner = 'aegis_owner'::regrole)
select 'trigger', t.oid::bigint, format('%%I on %%s', t.tgname, t.tgrelid::regclass), t.ctid::text
from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
where c.relnamespace in (select oid from ours) and not t.tgisinternal and t.tgparentid = 0
union all
select 'view', c.oid::bigint, c.oid::regclass::text, r.ctid::text
from pg_class as c join pg_rewrite as r on r.ev_class = c.oid and r.rulename = '_RETURN'
where c.relnamespace in (select oid from ours) and c.relkind = 'v'
union all
select 'routine', p.oid::bigint, p.oid::regprocedure::text, p.ctid::text
from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
where n.oid in (select oid from ours) and n.nspname || '.' || p.proname <> all (%s::text[])
order by 1, 3
"""

_LOSABLE = """
with ours as (select oid from pg_namespace where nspowner = 'aegis_owner'::regrole),
tables as (
    select oid from pg_class
    where relnamespace in (select oid from ours) and relkind in ('r', 'p', 'i', 'I', 'S', 'm', 'f')
),
parts (class, object, part) as (
    select 'pg_class'::regclass, oid, 0 from tables
    union all
    select 'pg_class'::regclass, attrelid, attnum::int from pg_attribute
    where attrelid in (select oid from tables) and attnum > 0 and not attisdropped
    union all
    select 'pg_attrdef'::regclass, oid, 0 from pg_attrdef where adrelid in (select oid from tables)
    union all
    select 'pg_policy'::regclass, oid, 0 from pg_policy where polrelid in (select oid from tables)
    union all
    select 'pg_constraint'::regclass, oid, 0 from pg_constraint
    where connamespace in (select oid from ours) and contype <> 't'
    union all
    select 'pg_proc'::regclass, p.oid, 0 from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
    where n.oid in (select oid from ours) and n.nspname || '.' || p.proname = any (%s::text[])
)
select class::text || object || '.' || part, pg_describe_object(class, object, part) from parts
"""

_REVOKES = """
with ours as (select oid from pg_namespace where nspowner = 'aegis_owner'::regrole),
acls (target, acl, owner) as (
    select 'schema ' || oid::regnamespace, nspacl, nspowner
    from pg_namespace where oid in (select oid from ours)
    union all
    select 'routine ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner)), proowner
    from pg_proc where pronamespace in (select oid from ours)
    union all
    select case relkind when 'S' then 'sequence ' else 'table ' end || oid::regclass, relacl, relowner
    from pg_class where relnamespace in (select oid from ours) and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'table ' || c.oid::regclass, a.attacl, c.relowner
    from pg_attribute as a join pg_class as c on c.oid = a.attrelid
    where c.relnamespace in (select oid from ours) and a.attacl is not null
)
select distinct format(
    'revoke all on %s from %s cascade',
    target,
    case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end
)
from acls, aclexplode(acl)
where grantee <> owner
"""


def places(conn: Connection, frozen: Iterable[str]) -> Places:
    """Each object that `sql/` manages, with the ctid of its catalog row."""
    rows = conn.execute(_OBJECTS, [list(frozen)]).fetchall()
    return {CodeObject(kind, oid, name): place for kind, oid, name, place in rows}


def drop_code(conn: Connection, frozen: Iterable[str]) -> None:
    """Drop everything `sql/` created and nothing `schema/` created.

    Views and functions depend on each other in both directions, so the drop must cascade.  A cascade that
    reached a column, a default or a constraint would silently remove a law, so raise MigrationError then and
    name what would be lost.
    """
    frozen = list(frozen)
    before = dict(conn.execute(_LOSABLE, [frozen]).fetchall())
    _drop(conn, places(conn, frozen), cascade=True)
    conn.execute("drop schema if exists api cascade")
    after = dict(conn.execute(_LOSABLE, [frozen]).fetchall())
    if lost := sorted(before[key] for key in before.keys() - after.keys()):
        raise MigrationError(
            f"schema/ uses something that sql/ defines: re-creating sql/ would drop {', '.join(lost[:3])}",
            hint="Nothing in schema/ may call what sql/ defines; move that function into a migration.",
        )


def drop_leftovers(conn: Connection, before: Places, frozen: Iterable[str]) -> tuple[str, ...]:
    """Drop objects that existed before `sql/` was applied and that it did not define; return the names."""
    now = places(conn, frozen)
    leftovers = [entry for entry, place in now.items() if before.get(entry) == place]
    _drop(conn, leftovers, cascade=False)
    return tuple(f"{entry.kind} {entry.name}" for entry in leftovers)


def revoke_all(conn: Connection) -> None:
    """Revoke all privileges on our objects from everyone but the owner, so only the grants file decides."""
    revokes = [statement for (statement,) in conn.execute(_REVOKES).fetchall()]
    if revokes:
        conn.execute(";\n".join(revokes).encode(), prepare=False)


def _drop(conn: Connection, objects: Iterable[CodeObject], *, cascade: bool) -> None:
    """Drop triggers first, then all views and all functions in one statement each: order cannot matter."""
    by_kind: dict[str, list[str]] = {"trigger": [], "view": [], "routine": []}
    for entry in objects:
        by_kind[entry.kind].append(entry.name)
    how = " cascade" if cascade else ""
    statements = [f"drop trigger {name}" for name in by_kind["trigger"]]
    for kind in ("view", "routine"):
        if by_kind[kind]:
            statements.append(f"drop {kind} if exists {', '.join(by_kind[kind])}{how}")
    if statements:
        conn.execute(";\n".join(statements).encode(), prepare=False)
