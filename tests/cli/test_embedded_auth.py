"""Only the administrator logs in without a password, and no other account can read the directory."""

import os
import pwd
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from cli.database.embedded import Server, ServerError
from tests.cli.launcher import OTHERS, as_account, ask, do, needs_root, scratch, start

PASSWORD = "right, with spaces & signs"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with scratch() as directory, start(directory / "server", port=0) as running:
        do(running, f"create role trader login password '{PASSWORD}'")
        do(running, "create role silent login")
        yield running


@pytest.mark.parametrize("tcp", [False, True], ids=["socket", "tcp"])
class TestLogins:
    def test_the_right_password_is_accepted(self, server: Server, tcp: bool) -> None:
        with psycopg.connect(server.url("postgres", "trader", tcp=tcp), password=PASSWORD) as conn:
            assert conn.execute("select session_user").fetchone() == ("trader",)

    @pytest.mark.parametrize("password", ["wrong", "", None])
    def test_a_wrong_password_is_refused(self, server: Server, tcp: bool, password: str | None) -> None:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url("postgres", "trader", tcp=tcp), password=password)

    def test_a_login_without_a_password_is_refused(self, server: Server, tcp: bool) -> None:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url("postgres", "silent", tcp=tcp), password="anything")

    async def test_asyncpg_logs_in_by_the_same_address(self, server: Server, tcp: bool) -> None:
        conn = await asyncpg.connect(server.url("postgres", "trader", tcp=tcp), password=PASSWORD)

        assert await conn.fetchval("select session_user") == "trader"
        await conn.close()


def test_passwords_are_kept_as_scram_secrets_only(server: Server) -> None:
    secret = ask(server, "select rolpassword from pg_authid where rolname = 'trader'")

    assert secret.startswith("SCRAM-SHA-256$")


def test_the_server_trusts_nobody(server: Server) -> None:
    methods = ask(
        server, "select array_agg(distinct auth_method order by auth_method) from pg_hba_file_rules"
    )

    assert methods == ["peer", "reject", "scram-sha-256"]


def test_the_superuser_cannot_come_by_tcp_even_with_a_password(server: Server) -> None:
    do(server, "create role chief superuser")
    do(server, "alter role postgres password 'known'")

    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        psycopg.connect(server.url("postgres", tcp=True), password="known")


def test_a_name_with_signs_survives_the_address(server: Server) -> None:
    do(server, 'create database "odd /?&name"')

    with psycopg.connect(server.url("odd /?&name")) as conn:
        assert conn.info.dbname == "odd /?&name"


@needs_root
def test_another_account_is_no_superuser(server: Server) -> None:
    def try_it() -> str:
        try:
            psycopg.connect(server.url("postgres"))
        except psycopg.OperationalError as error:
            return str(error)
        return "let in"

    assert "Peer authentication failed" in as_account(OTHERS, try_it)


@needs_root
def test_another_account_may_knock_with_a_password(server: Server) -> None:
    """If root started the server, strategies run under a separate account."""

    def log_in() -> str:
        with psycopg.connect(server.url("postgres", "trader"), password=PASSWORD) as conn:
            return conn.info.user

    assert as_account(OTHERS, log_in) == "trader"


def test_nothing_in_the_directory_is_open_to_others(server: Server) -> None:
    def is_open(path: Path) -> bool:
        mode = path.lstat().st_mode
        allowed = 0o011 if stat.S_ISDIR(mode) else 0  # may be entered, not listed
        return not stat.S_ISSOCK(mode) and bool(stat.S_IMODE(mode) & 0o077 & ~allowed)

    inside = [path for path in server.directory.rglob("*") if not path.is_symlink()]
    lock_files = {path for path in inside if path.name.startswith(".s.PGSQL")}

    assert [path for path in inside if is_open(path) and path not in lock_files] == []
    assert stat.S_IMODE((server.directory / "data").stat().st_mode) == 0o700


@needs_root
@pytest.mark.parametrize("name", [".", "data", "run", "server.log", "data/pg_hba.conf", "lock"])
def test_another_account_reads_nothing(server: Server, name: str) -> None:
    path = server.directory / name

    def read() -> bool:
        return os.access(path, os.R_OK) or os.access(path, os.W_OK)

    assert as_account(OTHERS, read) is False


@needs_root
def test_a_directory_of_an_ordinary_user_is_shut_to_all_others() -> None:
    from cli.database.binaries import find_binaries

    binaries = find_binaries()

    def begin(place: Path) -> tuple[Path, int]:
        server = start(place, binaries=binaries)
        return server.socket_dir, server.port

    with scratch() as home:
        os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
        socket_dir, port = as_account("nobody", lambda: begin(home / "server"))

        def knock() -> str:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(socket_dir / f".s.PGSQL.{port}"))
                except PermissionError:
                    return "shut"
                return "open"

        assert as_account(OTHERS, knock) == "shut"


@needs_root
@pytest.mark.parametrize("name", ["lock", "alive", "server.log"])
def test_root_follows_no_link_that_somebody_planted(name: str) -> None:
    with scratch() as home:
        victim = home / "victim"
        victim.write_text("precious")
        (home / "server").mkdir(mode=0o711)
        (home / "server").chmod(0o711)
        (home / "server" / name).symlink_to(victim)

        with pytest.raises(ServerError, match="cannot open"):
            start(home / "server")

        assert victim.read_text() == "precious"
        assert victim.stat().st_uid == 0
