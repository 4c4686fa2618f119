"""Logins have generated passwords in private files, and creating them needs no superuser."""

from __future__ import annotations

import stat

import psycopg
import pytest
from psycopg import sql

from cli.database import logins
from cli.database.errors import DatabaseError
from cli.database.secrets import ensure_password, matches, password_of
from tests.sql.deploy_kit import Folders


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_passwords_lie_in_private_files_of_a_private_directory(template, secrets):
    files = sorted(path for path in secrets.iterdir() if path.name.startswith("aegis_"))

    assert {file.name for file in files} >= set(logins.LOGINS)
    assert mode(secrets) == 0o700
    assert {mode(file) for file in files} == {0o600}
    passwords = [file.read_text().strip() for file in files]
    assert len(set(passwords)) == len(passwords)
    assert min(map(len, passwords)) >= 32


def test_a_password_is_made_once_and_its_file_is_closed_again(tmp_path):
    folder = tmp_path / "secrets"
    first = ensure_password("aegis_desk", folder)
    (folder / "aegis_desk").chmod(0o644)
    folder.chmod(0o755)

    assert ensure_password("aegis_desk", folder) == first
    assert (mode(folder), mode(folder / "aegis_desk")) == (0o700, 0o600)
    assert [path.name for path in folder.iterdir()] == ["aegis_desk"], "no temporary file stays"


def test_a_missing_password_says_what_to_do(tmp_path):
    with pytest.raises(DatabaseError, match="no password for aegis_desk") as missing:
        password_of("aegis_desk", tmp_path)

    assert "aegis db migrate" in (missing.value.hint or "")


def test_a_password_file_that_was_replaced_becomes_the_password(db, dsn, secrets, pg_server):
    dsn("aegis_s_renewed")
    (secrets / "aegis_s_renewed").write_text("another-password\n")

    address = dsn("aegis_s_renewed")

    assert "another-password" in address
    psycopg.connect(address).close()


def test_the_server_gets_a_verifier_and_its_log_never_the_password(db, secrets, pg_server):
    if pg_server.embedded is None:
        pytest.skip("the log of an external server is not ours to read")
    db.execute("set log_statement = 'all'")

    logins.ensure_strategy_login(db, "logged", secrets)

    password = password_of("aegis_s_logged", secrets)
    log = (pg_server.embedded.directory / "server.log").read_text()
    assert 'alter role "aegis_s_logged"' in log
    assert password not in log
    (verifier,) = db.execute("select rolpassword from pg_authid where rolname = 'aegis_s_logged'").fetchone()
    assert verifier.startswith("SCRAM-SHA-256$")
    assert matches(password, verifier)
    assert not matches(password + "x", verifier)


def test_a_wrong_password_is_refused(login, pg_server, database):
    login("aegis_desk")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(pg_server.url(database, "aegis_desk", "guess"))


@pytest.mark.parametrize("name", ["", "Momentum", "x; drop role aegis_owner", "1st", "a" * 41])
def test_a_strategy_is_named_like_a_role(db, secrets, name):
    with pytest.raises(DatabaseError, match="cannot be the name of a strategy"):
        logins.ensure_strategy_login(db, name, secrets)


def test_every_login_comes_home_to_the_door(login):
    for name in logins.LOGINS:
        assert login(name).execute("show search_path").fetchone() == ("api",)


def test_nothing_the_desk_types_is_written_to_the_servers_log(login):
    """The desk cannot undo it: only a superuser may change the settings that would log a statement."""
    desk = login("aegis_desk")
    query = "select name, setting, context from pg_settings where name = any(%s)"

    found = desk.execute(query, [list(logins.SILENT)]).fetchall()

    assert {name: setting for name, setting, _ in found} == dict(logins.SILENT)
    own = {name for name, _, context in found if context != "superuser"}
    assert own == {"log_parameter_max_length_on_error"}, "and errors are not written at all"


def test_making_roles_and_logins_again_changes_nothing(db, secrets):
    query = """
        select
            r.rolname, r.rolpassword, s.setconfig,
            (select array_agg(roleid order by roleid) from pg_auth_members where member = r.oid)
        from pg_authid as r left join pg_db_role_setting as s on s.setrole = r.oid
        and s.setdatabase = (select oid from pg_database where datname = current_database())
        where r.rolname ^@ 'aegis_' order by 1
    """
    before = db.execute(query).fetchall()

    logins.ensure_roles(db)
    logins.ensure_logins(db, secrets)
    logins.secure_database(db)

    assert db.execute(query).fetchall() == before


def test_an_administrator_who_is_no_superuser_can_deploy(pg_server, maintenance, databases, tmp_path):
    """As on a managed server.  The admin option on the roles stands in for having created them."""
    maintenance.execute("drop role if exists aegis_test_admin")
    maintenance.execute("create role aegis_test_admin login createrole createdb password 'admin'")
    name = databases.create("template0")
    owner = sql.SQL("alter database {} owner to aegis_test_admin").format(sql.Identifier(name))
    maintenance.execute(owner)
    for role in logins.GROUPS:
        maintenance.execute(
            sql.SQL("grant {} to aegis_test_admin with admin option").format(sql.Identifier(role))
        )
    try:
        with psycopg.connect(pg_server.url(name, "aegis_test_admin", "admin"), autocommit=True) as admin:
            logins.ensure_roles(admin)
            logins.secure_database(admin)
            folders = Folders.real(tmp_path, admin)

            assert folders.deploy().sql_applied
            assert not folders.deploy().changed
            assert logins.ensure_strategy_login(admin, "managed", tmp_path / "secrets") == "aegis_s_managed"
            assert folders.value("select kind from bus.instance") == "test"
        psycopg.connect(
            pg_server.url(name, "aegis_s_managed", password_of("aegis_s_managed", tmp_path / "secrets"))
        ).close()
    finally:
        databases.drop(name)
        maintenance.execute("drop role if exists aegis_s_managed")
        maintenance.execute("drop owned by aegis_test_admin cascade; drop role aegis_test_admin")
