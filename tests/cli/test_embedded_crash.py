"""Whatever is killed, the next start has one server and everything that was committed."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cli.database.account import server_account
from cli.database.binaries import Binaries, ServerError
from cli.database.embedded import Server
from cli.database.postmaster import answering
from tests.cli.launcher import (
    Child,
    ask,
    do,
    is_held,
    lives,
    scratch,
    start,
    wait_until_dead,
    wait_until_nobody_lives,
)

NOBODYS_PID = 2**22 - 1


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as directory:
        yield directory / "server"


def test_a_server_that_dies_with_its_owner_survives_no_kill_9_of_it(place: Path) -> None:
    owner = Child(lambda: start(place, die_with_owner=True).pid, stay=True)
    pid = owner.result()
    owner.kill()

    wait_until_nobody_lives(place)

    wait_until_dead(pid)
    with start(place) as server:
        assert server.started_here


def test_a_server_of_its_own_survives_kill_9_of_its_starter_and_is_joined(place: Path) -> None:
    starter = Child(lambda: start(place).pid, stay=True)
    pid = starter.result()
    starter.kill()

    server = start(place)

    assert (server.pid, server.started_here) == (pid, False)
    server.stop()


def test_kill_9_of_the_postmaster_loses_nothing_committed(place: Path) -> None:
    server = start(place)
    do(server, "create table kept as select 42 as answer")
    os.kill(server.pid, signal.SIGKILL)

    with start(place) as again:
        assert again.pid != server.pid
        assert ask(again, "select answer from kept") == 42


def test_the_next_server_waits_for_the_last_process_of_the_killed_one(place: Path) -> None:
    """A backend that has not noticed its postmaster's death may still write."""
    server = start(place)
    conn = psycopg.connect(server.url("postgres"), autocommit=True)
    backend = conn.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    os.kill(server.pid, signal.SIGKILL)

    starter = Child(lambda: start(place).pid)
    assert is_held(place / "alive")
    assert answering(place / "data") is None
    os.kill(backend, signal.SIGCONT)
    again = starter.result()

    starter.wait()
    assert again != server.pid
    wait_until_dead(backend)
    Server.attach(place).stop()


def test_an_attached_stop_after_kill_9_of_the_postmaster_just_returns(place: Path) -> None:
    server = start(place)
    attached = Server.attach(place)
    os.kill(server.pid, signal.SIGKILL)

    attached.stop()

    assert not is_held(place / "alive")


def stale(pid: int, place: Path) -> str:
    return f"{pid}\n{place / 'data'}\n1700000000\n5432\n{place / 'run'}\n\n  5432001  99\nready   \n"


@pytest.fixture
def stranger(place: Path) -> Iterator[int]:
    """A running process of the server's account that is not a server, as a reused pid may denote."""
    start(place).stop()
    process = subprocess.Popen(["sleep", "600"], cwd="/", **server_account(place / "data").run_as())
    yield process.pid
    process.kill()
    process.wait()


def test_a_pid_file_that_names_a_living_stranger_is_seen_through(place: Path, stranger: int) -> None:
    (place / "data" / "postmaster.pid").write_text(stale(stranger, place))

    with start(place) as server:
        assert server.pid != stranger

    assert lives(stranger)


def test_stopping_never_signals_a_stranger(place: Path, stranger: int) -> None:
    with start(place) as server:
        attached = Server.attach(place)
    (place / "data" / "postmaster.pid").write_text(stale(stranger, place))

    server.stop("immediate")
    attached.stop("immediate")

    assert lives(stranger)


@pytest.mark.parametrize("content", ["", "\n", "garbage\n", "-4711\n", f"{NOBODYS_PID}\n", "1\n/x\n1\n"])
def test_a_pid_file_cut_short_by_a_crash_is_no_obstacle(place: Path, content: str) -> None:
    start(place).stop()
    (place / "data" / "postmaster.pid").write_text(content)

    with start(place) as server:
        assert ask(server, "select 1") == 1


def test_an_interrupted_initdb_is_begun_again(place: Path) -> None:
    (place / "data.unfinished").mkdir(parents=True)
    (place / "data.unfinished" / "PG_VERSION").write_text("18\n")
    place.chmod(0o711)

    with start(place) as server:
        assert ask(server, "select 1") == 1
        assert not (place / "data.unfinished").exists()


def test_a_broken_configuration_is_reported_with_the_servers_own_words(place: Path) -> None:
    start(place).stop()
    with (place / "data" / "postgresql.conf").open("a") as config:
        config.write("\nno_such_setting = 1\n")

    with pytest.raises(ServerError) as caught:
        start(place)

    assert "no_such_setting" in (caught.value.hint or "")
    assert not is_held(place / "alive")


def test_after_kill_9_of_the_postmaster_it_is_back_within_seconds(place: Path) -> None:
    server = start(place)
    os.kill(server.pid, signal.SIGKILL)

    began = time.monotonic()
    with start(place):
        assert time.monotonic() - began < 5


def everything_in(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Each file with its time, mode and content."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [directory, *directory.rglob("*")]
    }


@pytest.mark.skipif(not Path("/usr/lib/postgresql/15/bin/postgres").exists(), reason="no PostgreSQL 15 here")
def test_the_data_of_another_version_is_refused_and_not_touched(place: Path) -> None:
    start(place, binaries=Binaries(Path("/usr/lib/postgresql/15/bin"), "15")).stop()
    before = everything_in(place)

    with pytest.raises(
        ServerError, match=r"made by PostgreSQL 15, but this is 1[6-9].*nothing was changed"
    ) as caught:
        start(place)

    assert everything_in(place) == before
    assert caught.value.hint is not None
    assert "/usr/lib/postgresql/15/bin" in caught.value.hint


@pytest.mark.parametrize("content", ["11\n", "9.6\n", "99\n", "garbage"])
def test_data_of_a_version_nobody_has_is_refused_and_not_touched(place: Path, content: str) -> None:
    (place / "data").mkdir(parents=True)
    (place / "data" / "PG_VERSION").write_text(content)
    before = everything_in(place)

    with pytest.raises(ServerError, match="nothing was changed"):
        start(place)

    assert everything_in(place) == before


def test_a_directory_full_of_something_else_is_refused_and_not_touched(place: Path) -> None:
    (place / "data").mkdir(parents=True)
    (place / "data" / "thesis.txt").write_text("years of work")
    before = everything_in(place)

    with pytest.raises(ServerError, match="not a PostgreSQL data directory"):
        start(place)

    assert everything_in(place) == before


def test_a_data_directory_itself_is_refused_and_not_touched(place: Path) -> None:
    start(place).stop()
    before = everything_in(place)

    with pytest.raises(ServerError, match="is itself a PostgreSQL data directory"):
        start(place / "data")

    assert everything_in(place) == before
