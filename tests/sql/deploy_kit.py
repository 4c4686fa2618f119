"""SQL folders that a test may change and deploy, and a way to deploy in parallel with the test."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from cli.database.files import schema_dir, sql_dir
from cli.database.migrate import Report, migrate

HOLD = 42  # an advisory lock: a migration that takes it waits until the test releases it
HOLD_SQL = f"select pg_catalog.pg_advisory_xact_lock({HOLD});\n"

ITEMS = """
create schema shop;
create table shop.items (
    item_id bigint generated always as identity primary key,
    name text not null,
    note text not null default ''
);
insert into shop.items (name) values ('pear');
"""
CODE = """
create schema if not exists api;

create or replace function shop.tg_items__check() returns trigger language plpgsql as $$
begin
    if new.note = new.name then
        raise exception 'note repeats the name';
    end if;
    return new;
end;
$$;

create or replace trigger _200_check before insert or update on shop.items
for each row execute function shop.tg_items__check();

create or replace function shop.describe(p_name text) returns text language sql immutable
begin atomic
    select 'a ' || p_name;
end;

create or replace view api.items as
select i.item_id, i.name, i.note, shop.describe(i.name) as description
from shop.items as i;

create or replace function api.tg_items__insert() returns trigger language plpgsql as $$
begin
    insert into shop.items (name) values (new.name);
    return new;
end;
$$;

create or replace trigger _200_insert instead of insert on api.items
for each row execute function api.tg_items__insert();

create or replace function api.add_item(p_name text) returns bigint language sql
as $$ insert into shop.items (name) values (p_name) returning item_id $$;
"""
GRANTS = """
grant usage on schema api to aegis_viewer;
grant select on api.items to aegis_viewer;
grant execute on function api.add_item(text) to aegis_operator;
"""


@dataclass
class Folders:
    """A test's own schema/ and sql/ folders, and the database it deploys them to."""

    schema: Path
    sql: Path
    conn: psycopg.Connection[Any]
    kind: str = "test"

    @classmethod
    def tiny(cls, folder: Path, conn: psycopg.Connection[Any]) -> Folders:
        """Write a table, a trigger, functions, a view and grants; deploy nothing yet."""
        folders = cls(folder / "schema", folder / "sql", conn)
        folders.schema.mkdir()
        folders.sql.mkdir()
        folders.migration("0001_items.sql", ITEMS)
        (folders.sql / "100_items.sql").write_text(CODE)
        (folders.sql / "900_grants.sql").write_text(GRANTS)
        return folders

    @classmethod
    def real(cls, folder: Path, conn: psycopg.Connection[Any]) -> Folders:
        """Copy the schema/ and sql/ that ship."""
        shutil.copytree(schema_dir(), folder / "schema")
        shutil.copytree(sql_dir(), folder / "sql")
        return cls(folder / "schema", folder / "sql", conn)

    def deploy(self, conn: psycopg.Connection[Any] | None = None, **how: Any) -> Report:
        how.setdefault("kind", self.kind)
        return migrate(conn or self.conn, schema_dir=self.schema, sql_dir=self.sql, **how)

    def migration(self, name: str, text: str) -> None:
        (self.schema / name).write_text(text)

    def code(self, old: str, new: str, name: str = "100_items.sql") -> None:
        """Replace a piece of text in a file of sql/."""
        file = self.sql / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def value(self, query: str) -> Any:
        row = self.conn.execute(query.encode()).fetchone()
        return row[0] if row else None


def in_thread(work: Callable[[], Any]) -> Future[Any]:
    """Run `work` in a thread; the future returns its result or raises its error."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
