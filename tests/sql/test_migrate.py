"""A deployment applies completely or not at all, and leaves exactly what the files define."""

import psycopg
import pytest

from cli.database.connect import Database
from cli.database.errors import MigrationError
from cli.database.migrate import status
from workers.runtime.settings import Settings


@pytest.fixture
def dump(pg_server):
    """Return the definitions in a database as `aegis db dump` prints them."""

    def definitions(conn):
        settings = Settings(database_url=pg_server.url(conn.info.dbname))
        return Database.resolve(settings).dump()

    return definitions


LANDED = (12, 21)  # the last migrations of earlier versions


@pytest.mark.parametrize("stops", ["each", *LANDED])
def test_a_database_migrated_step_by_step_equals_a_fresh_one(aegis, new_database, dump, stops):
    aegis.deploy()
    fresh = dump(aegis.conn)
    texts = {path: path.read_text() for path in sorted(aegis.schema.glob("[0-9]*.sql"))}
    numbers = sorted({int(path.name[:4]) for path in texts})
    sql, aegis.sql = aegis.sql, aegis.schema.parent / "no_sql_yet"
    aegis.sql.mkdir()

    aegis.conn = new_database()
    for stop in numbers[:-1] if stops == "each" else [stops]:
        for path, text in texts.items():
            if int(path.name[:4]) <= stop:
                path.write_text(text)
            else:
                path.unlink(missing_ok=True)
        assert aegis.deploy().applied, f"{stop:04} alone"
    for path, text in texts.items():
        path.write_text(text)
    aegis.sql = sql

    assert aegis.deploy().applied
    assert dump(aegis.conn) == fresh


@pytest.mark.parametrize("kind", ["live", "test"])
def test_applying_sql_again_changes_nothing(aegis, dump, kind):
    aegis.kind = kind
    aegis.deploy()
    before = dump(aegis.conn)
    functions = oids_of_functions(aegis)
    some = min(aegis.sql.glob("*.sql"))
    some.write_text(some.read_text() + "\n-- a comment, so that it is another deployment\n")

    light = aegis.deploy()

    assert (light.sql_applied, light.rebuilt, light.removed) == (True, False, ())
    assert dump(aegis.conn) == before
    assert oids_of_functions(aegis) == functions, "a light deployment drops nothing"

    heavy = aegis.deploy(force=True)

    assert (heavy.rebuilt, heavy.removed) == (True, ())
    assert dump(aegis.conn) == before


def test_with_nothing_to_do_nothing_is_done(shop):
    assert shop.deploy().changed
    before = shop.value("select applied_at from bus.deployments")

    assert not shop.deploy().changed

    assert shop.value("select applied_at from bus.deployments") == before
    assert status(shop.conn, schema_dir=shop.schema, sql_dir=shop.sql).current


def test_everything_belongs_to_the_owner(aegis):
    aegis.deploy()

    strangers = aegis.value("""
        select string_agg(oid::regclass::text, ', ') from pg_class
        where relnamespace in (select oid from pg_namespace where nspname !~ '^pg_|^information_schema$')
          and relowner <> 'aegis_owner'::regrole
    """)

    assert strangers is None


def oids_of_functions(aegis):
    return aegis.value("""
        select array_agg(oid order by oid) from pg_proc
        where pronamespace in (select oid from pg_namespace where nspowner = 'aegis_owner'::regrole)
    """)


def test_a_changed_argument_leaves_no_old_overload(shop):
    shop.deploy()
    shop.code("api.add_item(p_name text)", "api.add_item(p_name text, p_note text default 'new')")
    shop.code("add_item(text)", "add_item(text, text)", "900_grants.sql")

    report = shop.deploy()

    assert report.removed == ("routine api.add_item(text)",)
    assert shop.value("select count(*) from pg_proc where proname = 'add_item'") == 1


def test_a_changed_return_type_deploys_without_a_migration(shop):
    shop.deploy()
    shop.code("returns bigint language sql", "returns text language sql")
    shop.code("returning item_id $$", "returning item_id::text $$")

    report = shop.deploy()

    assert report.rebuilt
    assert shop.value("select pg_typeof(api.add_item('fig'))::text") == "text"


def test_a_changed_view_deploys_without_a_migration(shop):
    shop.deploy()
    shop.code("select i.item_id, i.name, i.note, shop", "select i.name, i.item_id as number, shop")

    report = shop.deploy()

    assert report.rebuilt
    assert shop.value("select number from api.items") == 1
    assert shop.value("select has_table_privilege('aegis_viewer', 'api.items', 'select')")


def test_a_dropped_column_deploys_though_view_and_trigger_used_it(shop):
    shop.deploy()
    shop.migration("0002_no_note.sql", "alter table shop.items drop column note;")
    shop.code("i.note, ", "")
    shop.code("new.note = new.name", "new.name = ''")

    report = shop.deploy()

    assert report.applied == ("0002_no_note",)
    assert shop.value("select name from api.items") == "pear"
    with pytest.raises(psycopg.errors.RaiseException):
        shop.conn.execute("insert into shop.items (name) values ('')")


def test_what_the_files_no_longer_define_is_removed(shop):
    shop.deploy()
    text = (shop.sql / "100_items.sql").read_text()
    first = text.index("create or replace function shop.tg_items__check")
    (shop.sql / "100_items.sql").write_text(text[:first])
    (shop.sql / "900_grants.sql").write_text("")

    report = shop.deploy()

    assert not report.rebuilt
    assert set(report.removed) == {
        "trigger _200_check on shop.items",
        "trigger _200_insert on api.items",
        "view api.items",
        "routine api.add_item(text)",
        "routine api.tg_items__insert()",
        "routine shop.describe(text)",
        "routine shop.tg_items__check()",
    }
    assert shop.value("select name from shop.items") == "pear", "a table is never removed"


def test_a_privilege_the_files_no_longer_grant_is_taken_back(shop):
    shop.deploy()
    shop.conn.execute("grant select on shop.items to aegis_strategy")
    shop.conn.execute("grant update (name) on shop.items to public")
    shop.code("grant execute on function api.add_item(text) to aegis_operator;", "", "900_grants.sql")

    shop.deploy()

    assert not shop.value("select has_function_privilege('aegis_operator', 'api.add_item(text)', 'execute')")
    assert not shop.value("select has_table_privilege('aegis_strategy', 'shop.items', 'select')")
    assert not shop.value("select has_column_privilege('aegis_viewer', 'shop.items', 'name', 'update')")


def test_a_law_that_leans_on_sql_is_not_dropped_with_it(shop):
    shop.deploy()
    shop.conn.execute("alter table shop.items alter note set default shop.describe('x')")

    with pytest.raises(MigrationError, match="default value for column note of table shop"):
        shop.deploy(force=True)

    assert shop.value("select column_default from information_schema.columns where column_name = 'note'")
