"""What a deployment refuses before anything is touched, and how it names what is wrong."""

import pytest

from cli.database.errors import MigrationError
from cli.database.files import read_source


def refusals():
    def changed(shop):
        shop.migration("0001_items.sql", "-- another text\n" + (shop.schema / "0001_items.sql").read_text())

    def missing(shop):
        (shop.schema / "0001_items.sql").rename(shop.schema / "0003_items.sql")
        shop.migration("0002_more.sql", "")

    def newer(shop):
        (shop.schema / "0001_items.sql").unlink()

    def late(shop):
        shop.migration("0000_late.sql", "select 1;")

    def twice(shop):
        shop.migration("0001_again.sql", "select 1;")

    def misnamed(shop):
        shop.migration("2_more.sql", "select 1;")

    def view(shop):
        shop.migration("0002_view.sql", "create view shop.v as select 1 as one;")

    def commit(shop):
        shop.migration("0002_commit.sql", "create table shop.half ();\ncommit;\nselect 1 / 0;")

    return {
        "0001_items.sql has changed": changed,
        "no file 0001": missing,
        "newer than this code": newer,
        "0000_late.sql is new, but": late,
        "have the same number": twice,
        "not named like a migration": misnamed,
        "creates a view or a trigger": view,
        "ends the transaction": commit,
    }


@pytest.mark.parametrize("message", refusals())
def test_refused_before_anything_is_touched(shop, message):
    shop.deploy()
    shop.code("'a '", "'an '")
    refusals()[message](shop)

    with pytest.raises(MigrationError, match=message) as refusal:
        shop.deploy()

    assert refusal.value.hint
    assert shop.value("select shop.describe('pear')") == "a pear"


def test_a_database_keeps_its_kind(shop):
    with pytest.raises(MigrationError, match="needs a kind"):
        shop.deploy(kind=None)
    shop.deploy(kind="demo")

    with pytest.raises(MigrationError, match="created as demo and cannot become live"):
        shop.deploy(kind="live")

    assert shop.deploy(kind=None).kind == "demo"


def test_an_error_names_the_file_and_the_line(shop):
    shop.code("create or replace view api.items as", "create or replace view api.items of")

    with pytest.raises(MigrationError, match=r"sql/100_items\.sql:21: syntax error"):
        shop.deploy()


def test_an_error_in_a_body_is_found_before_it_runs_and_names_the_function(shop):
    shop.code("raise exception 'note", "raise exceptio 'note")

    with pytest.raises(MigrationError, match=r"sql/100_items\.sql") as refusal:
        shop.deploy()

    assert "tg_items__check" in (refusal.value.hint or "")


def test_a_file_that_names_no_schema_is_refused(shop):
    """Otherwise the object would land wherever the deploying login's search path points."""
    shop.migration("0002_stray.sql", "create table stray ();")

    with pytest.raises(MigrationError, match=r"0002_stray\.sql.*permission denied"):
        shop.deploy()


def test_only_replay_and_test_databases_get_the_virtual_file(aegis):
    for kind, virtual in (("live", False), ("demo", False), ("replay", True), ("test", True)):
        titles = [migration.title for migration in read_source(kind).migrations]

        assert titles[0] == ("0001_time.virtual" if virtual else "0001_time")
        assert len(titles) == len({title[:4] for title in titles})


@pytest.mark.parametrize("kind", ["live", "demo"])
def test_a_database_that_trades_cannot_be_told_another_time(aegis, kind):
    aegis.deploy(kind=kind)
    aegis.conn.execute("set aegis.now = '2001-01-01 00:00:00+00'")

    assert aegis.value("select bus.now() > '2020-01-01' and bus.clock() > '2020-01-01'")
    assert (
        aegis.value("""
        select count(*) from pg_proc
        where pronamespace = 'bus'::regnamespace and proname in ('now', 'clock')
          and pg_get_functiondef(oid) ~ 'current_setting'
    """)
        == 0
    )
