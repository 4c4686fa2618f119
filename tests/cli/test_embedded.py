"""The embedded server starts under any account, is shared by all who start it, and stops cleanly."""

import os
import pwd
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from cli.database.binaries import Binaries, find_binaries
from cli.database.embedded import Server, ServerError
from tests.cli.launcher import Child, as_account, ask, do, lives, needs_root, scratch, start, wait_for_status


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as directory:
        yield directory / "server"


def test_it_starts_from_nothing_and_keeps_its_data(place: Path) -> None:
    with Server.start(place) as server:
        do(server, "create table kept as select 42 as answer")

    with start(place) as server:
        assert ask(server, "select answer from kept") == 42


def test_leaving_the_with_stops_what_it_started(place: Path) -> None:
    with start(place) as server:
        pass

    assert not lives(server.pid)
    with pytest.raises(ServerError, match="no server runs"):
        Server.attach(place)


def test_leaving_the_with_leaves_alone_what_it_joined(place: Path) -> None:
    with start(place) as first:
        with start(place) as second:
            assert (second.pid, second.started_here) == (first.pid, False)

        assert ask(first, "select 1") == 1


def test_it_asks_for_no_tcp_port_unless_told(place: Path) -> None:
    with start(place) as server:
        assert ask(server, "show listen_addresses") == ""
        with pytest.raises(ServerError, match="does not listen on TCP"):
            server.url("postgres", tcp=True)


def test_two_starters_at_once_share_one_server(place: Path) -> None:
    def begin() -> tuple[int, bool]:
        server = Server.start(place, fsync=False)
        return server.pid, server.started_here

    starters = [Child(begin) for _ in range(3)]
    pids, started = zip(*(starter.result() for starter in starters), strict=True)
    for starter in starters:
        starter.wait()

    assert len(set(pids)) == 1
    assert sorted(started) == [False, False, True]
    Server.attach(place).stop()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_an_attached_server_can_be_stopped(place: Path, mode: str) -> None:
    with start(place) as server:
        do(server, "create table kept as select 42 as answer")
        Server.attach(place).stop(mode)  # type: ignore[arg-type]

        with pytest.raises(ServerError, match="no server runs"):
            Server.attach(place)

    with start(place) as server:
        assert ask(server, "select answer from kept") == 42


def test_stopping_twice_is_the_same_as_once(place: Path) -> None:
    server = start(place)

    server.stop()
    server.stop()


def test_a_start_waits_for_the_stop_before_it(place: Path) -> None:
    first = start(place)
    with ThreadPoolExecutor() as threads, psycopg.connect(first.url("postgres")):
        stopping = threads.submit(first.stop, "smart")  # which waits for that session to end
        wait_for_status(place, "stopping")
        starting = threads.submit(start, place)

    stopping.result()
    with starting.result() as second:
        assert second.started_here
        assert second.pid != first.pid


def test_a_path_too_long_for_a_socket_gets_a_short_one(place: Path) -> None:
    deep = place.parent.joinpath(*["a" * 50] * 3, "server")
    with start(deep) as server:
        assert len(str(server.socket_dir)) < 60
        assert ask(Server.attach(deep), "select 1") == 1
        used = server.socket_dir

    with start(deep) as server:
        assert server.socket_dir == used


def test_the_callers_environment_does_not_leak_in(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "LC_ALL": "xx_XX", "TZ": "Asia/Seoul"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BROKER_SECRET", "hidden treasure")

    with Server.start(place, fsync=False) as server:
        assert ask(server, "show timezone") == "UTC"
        assert ask(server, "select datcollate from pg_database where datname = 'postgres'") == "C"
        if sys.platform == "linux":
            assert b"hidden treasure" not in Path(f"/proc/{server.pid}/environ").read_bytes()


def test_a_relative_path_means_the_callers_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.parent)

    with start(Path("server")) as server:
        assert ask(server, "show data_directory") == str(place / "data")


def test_a_taken_port_is_reported_with_the_servers_own_words(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with pytest.raises(ServerError) as caught:
            start(place, port=taken.getsockname()[1])

    assert "Address already in use" in (caught.value.hint or "")


def test_a_running_server_without_the_port_is_not_taken_for_one_with_it(place: Path) -> None:
    with start(place), pytest.raises(ServerError, match="without a TCP port"):
        start(place, port=0)


def test_a_server_that_dies_with_its_owner_needs_the_main_thread(place: Path) -> None:
    caught: list[ServerError] = []

    def begin() -> None:
        try:
            start(place, die_with_owner=True)
        except ServerError as error:
            caught.append(error)

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()

    assert "main thread" in str(caught[0])


@needs_root
def test_root_lends_the_server_another_account(place: Path) -> None:
    with start(place) as server:
        runs_as = Path(f"/proc/{server.pid}").stat().st_uid

        assert pwd.getpwuid(runs_as).pw_name in ("postgres", "nobody")
        assert (place / "data").stat().st_uid == runs_as


@needs_root
def test_an_ordinary_user_runs_it_as_themselves() -> None:
    binaries = find_binaries()

    def begin(place: Path) -> tuple[int, str]:
        with start(place, binaries=binaries) as server:
            return Path(f"/proc/{server.pid}").stat().st_uid, ask(server, "select current_user")

    with scratch() as home:
        os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
        uid, user = as_account("nobody", lambda: begin(home / "server"))

        assert pwd.getpwuid(uid).pw_name == "nobody"
        assert user == "postgres"
        assert stat.S_IMODE((home / "server").stat().st_mode) == 0o700


@needs_root
def test_root_goes_on_with_the_data_of_an_ordinary_user_under_their_account() -> None:
    binaries = find_binaries()

    def begin(place: Path) -> int:
        with start(place, binaries=binaries) as server:
            return Path(f"/proc/{server.pid}").stat().st_uid

    with scratch() as home:
        os.chown(home, pwd.getpwnam("daemon").pw_uid, -1)
        theirs = as_account("daemon", lambda: begin(home / "server"))
        ours = begin(home / "server")
        again = as_account("daemon", lambda: begin(home / "server"))

    assert theirs == ours == again == pwd.getpwnam("daemon").pw_uid


@needs_root
def test_data_of_another_account_is_refused_with_its_name(place: Path) -> None:
    binaries = find_binaries()
    start(place).stop()

    with pytest.raises(ServerError, match=f"belongs to {(place / 'data').owner()}, not to daemon"):
        as_account("daemon", lambda: start(place, binaries=binaries))


@needs_root
def test_a_directory_the_lent_account_cannot_reach_is_named(place: Path) -> None:
    place.parent.chmod(0o700)

    with pytest.raises(ServerError, match=f"cannot enter {place.parent}"):
        start(place)


def test_a_directory_that_cannot_be_made_is_reported(place: Path) -> None:
    place.parent.joinpath("file").write_text("in the way")

    with pytest.raises(ServerError, match="cannot create"):
        Server.start(place.parent / "file" / "server")


@pytest.mark.skipif(not Path("/usr/lib/postgresql/15/bin/postgres").exists(), reason="no PostgreSQL 15 here")
def test_postgresql_15_is_good_enough(place: Path) -> None:
    with start(place, binaries=Binaries(Path("/usr/lib/postgresql/15/bin"), "15")) as server:
        assert ask(server, "show server_version").startswith("15.")
