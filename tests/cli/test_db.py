"""`aegis db` on the server of the tests, and once from nothing on a new embedded server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.database.embedded import Server
from cli.database.secrets import password_of
from cli.main import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def aegis(monkeypatch, pg_server, database, secrets, tmp_path):
    """Run a command on this test's database, as on an external server."""
    use(monkeypatch, pg_server.url(database), secrets, tmp_path)
    return lambda *arguments, **how: CliRunner().invoke(cli, arguments, **how)


@pytest.fixture
def aegis_on_empty(monkeypatch, pg_server, databases, secrets, tmp_path):
    """Run a command on a database that does not exist yet."""
    name = databases.create("template0")
    databases.drop(name)
    use(monkeypatch, pg_server.url(name), secrets, tmp_path)
    yield lambda *arguments, **how: CliRunner().invoke(cli, arguments, **how)
    databases.drop(name)


def use(monkeypatch, url, secrets, tmp_path):
    for name in os.environ:
        if name.startswith("AEGIS_") and not name.startswith("AEGIS_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AEGIS_DATABASE_URL", url)
    monkeypatch.setenv("AEGIS_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("AEGIS_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, **how) -> subprocess.CompletedProcess[str]:
    """Run the command as a separate process, because psql replaces it."""
    code = "from cli.main import main; main()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **how,
    )


def test_migrate_creates_and_status_tells(aegis_on_empty):
    missing = aegis_on_empty("db", "status")
    assert missing.exit_code == 1
    assert "hint: Run aegis up, which does everything, or aegis db migrate." in missing.output

    first = aegis_on_empty("db", "migrate", "--kind", "demo")
    assert (first.exit_code, "applied  0001_time\n" in first.output) == (0, True), first.output

    assert "is up to date.\n" in aegis_on_empty("db", "migrate").output
    status = json.loads(aegis_on_empty("db", "status", "--json").output)
    assert (status["kind"], status["pending"], status["up_to_date"]) == ("demo", [], True)
    assert json.loads(aegis_on_empty("--json", "db", "migrate").output)["sql_applied"] is False


def test_status_is_a_page_for_people(aegis, db):
    db.execute("update bus.deployments set sql_checksum = 'another'")

    page = aegis("db", "status").output

    assert "kind            test\n" in page
    assert "sql             differs from the code\n" in page
    assert page.endswith("Run aegis db migrate.\n")


def test_a_refused_migration_is_a_message_and_a_hint(aegis, db):
    db.execute("update bus.migrations set checksum = 'another' where version = 2")

    refused = aegis("db", "migrate")

    assert refused.exit_code == 1
    assert refused.output.splitlines() == [
        "error: schema/0002_rooms.sql has changed since it ran here",
        "hint: Restore the released file and put the change into a new migration.",
    ]
    output = json.loads(aegis("--json", "db", "migrate").stderr)
    assert output["error"]["hint"].startswith("Restore")


def test_psql_opens_the_door_as_the_desk(aegis):
    done = run("db", "psql", "-At", "-c", "select current_user, mode from status")

    assert (done.returncode, done.stdout) == (0, "aegis_desk|NORMAL\n"), done.stderr
    assert run("db", "psql", "-c", "select 1 from trade.accounts").returncode == 1
    kept = run("db", "psql", input="\\echo :HISTCONTROL\n\\! echo [$PSQL_HISTORY]\n")
    assert kept.stdout == "ignorespace\n[/dev/null]\n", "what is typed may be an override code"
    prompt = run("db", "psql", input="\\echo :PROMPT1\nselect kind from status;\n")
    assert prompt.stdout.startswith("test %/%R%x%# \n"), "the prompt shows the kind, which never changes"


def test_url_holds_no_password_unless_asked(aegis, secrets, pg_server, database):
    password = password_of("aegis_desk", secrets)

    plain = aegis("db", "url").output.strip()
    assert plain == pg_server.url(database, "aegis_desk", None)
    assert f"aegis_desk:{password}@" in aegis("db", "url", "--with-password").output
    assert "//aegis_w_router@" in aegis("db", "url", "--login", "aegis_w_router").output
    unknown = aegis("db", "url", "--login", "aegis_s_unheard_of")
    assert (unknown.exit_code, "no password for aegis_s_unheard_of" in unknown.output) == (1, True)


def test_the_pooled_url_of_an_external_server_must_be_named(aegis, monkeypatch):
    missing = aegis("db", "url", "--pooled")
    assert (missing.exit_code, "AEGIS_POOLED_URL" in missing.output) == (1, True)

    monkeypatch.setenv("AEGIS_POOLED_URL", "postgresql://pooler.example:6432/aegis?sslmode=require")

    pooled = aegis("db", "url", "--pooled").output.strip()
    assert pooled.startswith("postgresql://aegis_desk@pooler.example:6432/")
    assert pooled.endswith("?sslmode=require")


def test_the_diagram_is_drawn_from_the_rows(aegis, db):
    moves = db.execute("select from_status, to_status from trade.order_transitions").fetchall()

    text = aegis("db", "diagram", "order").output
    mermaid = aegis("db", "diagram", "order", "--mermaid").output

    for start, end in moves:
        assert f"    {'[*]' if start == 'BEGIN' else start} --> {end}\n" in mermaid
        assert start == "BEGIN" or any(line.split()[0] == start and end in line for line in text.splitlines())
    assert "    REJECTED --> [*]\n" in mermaid
    everything = aegis("db", "diagram").output
    assert "new_intent" in everything
    assert "intent (begins as" in everything


def test_dump_prints_definitions_and_is_the_same_twice(aegis, tmp_path):
    first = aegis("db", "dump").output

    assert "CREATE TABLE trade.order_intents" in first
    assert "\\restrict" not in first
    assert "COPY " not in first
    assert aegis("db", "dump", "--file", str(tmp_path / "dump.sql")).exit_code == 0
    assert (tmp_path / "dump.sql").read_text() == first


def test_reset_asks_and_then_makes_it_new(aegis, db, pg_server, database):
    before = db.execute("select created_at from bus.instance").fetchone()
    db.close()

    kept = aegis("db", "reset", input="n\n")
    assert kept.exit_code == 1
    done = aegis("db", "reset", "--yes")

    assert done.exit_code == 0, done.output
    with pg_server.connect(database) as conn:
        assert conn.execute("select kind from bus.instance").fetchone() == ("test",)
        assert conn.execute("select created_at from bus.instance").fetchone() > before


def test_reset_never_drops_a_live_database(aegis, db):
    db.execute("update bus.deployments set kind = 'live'")

    refused = aegis("db", "reset", "--yes")

    assert (refused.exit_code, "is a live database, which is never reset" in refused.output) == (1, True)
    assert db.execute("select true").fetchone() == (True,)


def test_reset_waits_for_nobody_it_refuses_while_workers_run(aegis, login):
    login("aegis_w_router")

    refused = aegis("db", "reset", "--yes")

    assert (refused.exit_code, "in use by aegis_w_router" in refused.output) == (1, True)


def test_a_refusal_of_the_database_shows_its_code(aegis, monkeypatch):
    import click

    from cli.common.context import App, pass_app
    from cli.main import LazyGroup

    @click.command()
    @pass_app
    def oversell(app: App) -> None:
        app.desk.execute("do $$ begin raise 'no shares' using errcode = 'TRQ01', hint = 'Buy some.'; end $$")

    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: oversell)

    refused = aegis("oversell")

    assert refused.exit_code == 1
    assert refused.output == "refused: no shares (TRQ01)\nhint: Buy some.\n"


def test_from_nothing_on_the_embedded_server(monkeypatch, tmp_path_factory, pg_server):
    if pg_server.embedded is None:
        pytest.skip("the embedded server is not wanted here")
    data = pg_server.embedded.directory.parent / "from_nothing"
    for name in os.environ:
        if name.startswith("AEGIS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AEGIS_DATA_DIR", str(data))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    down = run("db", "url")
    assert (down.returncode, "the embedded server is not running" in down.stderr) == (1, True)
    try:
        migrated = run("db", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        assert run("db", "psql", "-Atc", "select kind from status").stdout == "demo\n"
        assert run("db", "url", "--pooled").stdout.endswith("port=6432\n")
        no_kind = run("--database", "mine", "db", "migrate")
        assert "a new database needs a kind" in no_kind.stderr
        assert "not exist" in run("--database", "mine", "db", "status").stderr, "nothing was created"
    finally:
        Server.attach(data / "server").stop()
