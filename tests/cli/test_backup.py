"""`aegis backup` and `aegis restore` on a separate server, and a dump restored into another server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.database import archive
from cli.database.backup import Backup
from cli.database.connect import Database
from cli.main import cli
from tests.cli.launcher import scratch, start
from workers.runtime.settings import Settings

NOTE = "select bus.record_event('test', null, %s, null, '{}')"
NOTES = "select change from api.events where entity = 'test' order by event_id"
CODE = "tulip-4711"


@dataclass
class House:
    """A directory with a server and one migrated database."""

    place: Path
    name: str = "demo"

    @property
    def data(self) -> Path:
        return self.place / "server" / "data"

    @property
    def database(self) -> Database:
        return Database(Settings(data_dir=self.place), self.name)

    def __call__(self, *arguments: str, code: str | None = None) -> Result:
        settings = {"AEGIS_DATA_DIR": str(self.place), "AEGIS_DATABASE": self.name}
        clean = dict.fromkeys(name for name in os.environ if name.startswith("AEGIS_"))
        return CliRunner(env=clean | settings).invoke(cli, arguments, input=code)

    def does(self, *arguments: str, code: str | None = None) -> str:
        done = self(*arguments, code=code)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        return done.output

    def refuses(self, *arguments: str, code: str | None = None) -> str:
        done = self(*arguments, code=code)
        assert done.exit_code == 1, (arguments, done.output, done.exception)
        return done.output

    def note(self, text: str) -> None:
        with self.database.admin() as conn:
            conn.execute(NOTE, [text])

    def notes(self) -> list[str]:
        with self.database.desk() as conn:
            return [text for (text,) in conn.execute(NOTES.encode())]

    def begin_run(self, marker: str | None = None) -> None:
        with self.database.connect("aegis_w_supervisor") as conn:
            conn.execute("select begin_run(%s)", [marker])

    def backup(self, *arguments: str) -> Path:
        return Path(json.loads(self.does("backup", *arguments, "--json"))["path"])


def make(place: Path) -> House:
    place.mkdir(exist_ok=True)
    place.chmod(0o711)
    house = House(place)
    start(place / "server")  # without fsync, from a prepared directory
    house.does("db", "migrate")
    with house.database.desk() as conn:
        conn.execute("select set_override_code(%s)", [CODE])
    house.begin_run()
    return house


@pytest.fixture
def house() -> Iterator[House]:
    with scratch() as place:
        yield make(place / "one")


def test_a_backup_is_restored_halted_with_its_logins_and_adopted(house):
    house.note("before")
    path = house.backup()
    house.note("after")
    assert house.refuses("restore", str(path)).splitlines() == [
        f"error: a server is running in {house.place / 'server'}",
        "hint: Stop it first: aegis down.",
    ]
    house.does("down")
    for secret in (house.place / "secrets").iterdir():
        secret.unlink()  # as on another machine: passwords are not in a backup

    output = house.does("restore", str(path))

    (aside,) = (house.place / "server").glob("data.before-restore-*")
    assert str(aside) in output
    assert house.notes() == ["before"]
    assert json.loads(house.does("status", "--json"))["mode"] == "HALT"
    assert "aegis adopt" in house.does("status")
    assert "adopt(reason, code) first" in house.refuses("resume", "why", code=CODE)
    assert "wrong override code" in house.refuses("adopt", "why", code="nonsense")
    assert house.does("adopt", "why", code=CODE).startswith("adopted: 0 intents expired")
    house.does("resume", "why", code=CODE)
    assert "needs no adoption" in house.refuses("adopt", "again", code=CODE)
    assert "The history is unchanged" in house.does("audit", "verify")

    # The data moved aside is complete: moved back, it has the newer state.
    house.does("down")
    house.data.rename(house.place / "server" / "data.restored")
    aside.rename(house.data)
    house.does("db", "migrate")
    assert house.notes() == ["before", "after"]


def test_a_restored_database_knows_also_what_was_restored_before(house):
    path = house.backup()
    for _ in range(2):
        house.does("down")
        house.does("restore", str(path))
        assert json.loads(house.does("status", "--json"))["is_foreign"] is True


def test_two_restores_in_one_second_move_the_data_to_two_places(house):
    path = house.backup()
    house.does("down")
    now = datetime.now(UTC)
    taken = [
        house.data.with_name(f"data.before-restore-{now + timedelta(seconds=n):%Y%m%dT%H%M%SZ}")
        for n in range(3)
    ]
    for place in taken:
        place.mkdir()
        (place / "PG_VERSION").touch()

    house.does("restore", str(path))

    assert len(list(house.data.parent.glob("data.before-restore-*"))) == len(taken) + 1
    assert all([*place.iterdir()] == [place / "PG_VERSION"] for place in taken)


def test_an_older_copy_of_the_files_is_recognised_within_one_run(house):
    """There is no new timeline and no new run; only the marker knows that the WAL was longer."""
    with house.database.connect("aegis_w_supervisor") as conn:
        (older,) = conn.execute("select run_marker(null)").fetchone()
    house.does("down")
    subprocess.run(["cp", "-a", house.data, house.place / "copy"], check=True)
    house.does("db", "migrate")
    house.note("after")
    with house.database.connect("aegis_w_supervisor") as conn:
        (newer,) = conn.execute("select run_marker(%s)", [older]).fetchone()
    house.does("down")
    house.data.rename(house.place / "newer")
    (house.place / "copy").rename(house.data)
    house.does("db", "migrate")

    house.begin_run(newer)

    with house.database.desk() as conn:
        (reason,) = conn.execute("select mode_reason from status where is_foreign").fetchone()
    assert "the marker has seen its log up to" in reason


def test_with_the_log_kept_any_later_moment_can_be_restored(house):
    log = house.place / "the log's place, 100 %"
    path = house.backup("--archive", str(log))
    house.note("one")
    with house.database.server_admin() as conn:
        assert archive.directory_of(conn) == str(log)
        (between,) = conn.execute("select clock_timestamp()").fetchone()
    house.note("two")
    house.backup()  # which finishes a WAL segment
    house.does("down")

    early = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    assert "later than the requested time" in house.refuses("restore", str(path), "--to", early)
    house.does("restore", str(path), "--to", between.isoformat())
    assert house.notes() == ["one"]

    house.does("down")
    house.does("restore", str(path))
    assert house.notes() == []
    with house.database.server_admin() as conn:
        assert conn.execute("select current_setting('restore_command')").fetchone() == ("",)


def test_a_moment_the_log_does_not_reach_leaves_everything_as_it_was(house):
    path = house.backup("--archive", str(house.place / "log"))
    house.note("after")
    house.does("down")

    output = house.refuses("restore", str(path), "--to", "2999-01-01 00:00")

    assert "the previous state is back" in output
    assert "recovery ended before configured recovery target was reached" in output
    house.does("db", "migrate")
    assert house.notes() == ["after"]


def test_without_the_log_only_the_backups_own_moment_can_be_restored(house):
    path = house.backup()
    house.does("down")

    assert "no WAL was archived" in house.refuses("restore", str(path), "--to", "latest")
    assert house("restore", str(path), "--to", "tomorrow").exit_code == 2


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "base/1/1259 was changed": lambda data: flip(data / "base/1/1259"),
    "global/1262 is missing": lambda data: (data / "global/1262").unlink(),
    "PG_VERSION has 2 bytes, not 3": lambda data: (data / "PG_VERSION").write_text("18"),
    "base/1/more does not belong to it": lambda data: (data / "base/1/more").touch(),
    "backup_manifest was changed": lambda data: flip(data / "backup_manifest"),
    "its WAL cannot be read": lambda data: [blank(file) for file in (data / "pg_wal").glob("0*")],
}


def test_a_damaged_backup_is_not_restored(house):
    path = house.backup()
    house.does("down")
    for what, damage in DAMAGES.items():
        spoiled = house.place / "spoiled"
        subprocess.run(["cp", "-a", path, spoiled], check=True)
        damage(spoiled / "data")

        output = house.refuses("restore", str(spoiled))

        if "manifest" in what:
            assert "backup_manifest" in output
        else:
            assert what in output
        assert house.data.is_dir()
        subprocess.run(["rm", "-r", spoiled], check=True)
    unfinished = house.place / "unfinished"
    unfinished.mkdir()
    assert "is not a finished backup" in house.refuses("restore", str(unfinished))


def test_of_another_version_of_postgresql_it_is_refused(house):
    path = house.backup()
    (path / "data" / "PG_VERSION").write_text("15\n")

    assert "was made by PostgreSQL 15" in house.refuses("restore", str(path))


def test_only_the_newest_are_kept_and_a_half_finished_one_counts_for_nothing(house):
    place = house.place / "elsewhere"
    log = house.place / "log"
    first = house.backup(str(place), "--archive", str(log))
    half = place / "20200101T000000Z"
    half.mkdir()
    names = {path.name for path in (house.backup(str(place), "--keep", "2") for _ in range(2))}

    assert not first.exists()
    assert half.exists()
    shown = json.loads(house.does("backup", str(place), "--list", "--json"))
    assert {Path(row["path"]).name for row in shown} == names
    oldest = Backup.read(Path(shown[0]["path"]))
    pieces = sorted(file.name for file in log.iterdir() if len(file.name) == 24)
    assert pieces[0] == oldest.first_log, "the log before the oldest backup is gone, what it needs is not"


def test_an_archived_piece_is_never_written_over_and_may_be_asked_for_again(tmp_path):
    place = tmp_path / "it's a %p place"
    place.mkdir()
    piece = tmp_path / "piece"
    piece.write_text("one")

    def keep() -> int:
        # As PostgreSQL does: replace %p and %f by names, and %% by %.
        line = archive.command(place).replace("%%", "\0").replace("%p", str(piece)).replace("%f", "0001")
        return subprocess.run(line.replace("\0", "%"), shell=True, check=False).returncode

    assert (keep(), keep()) == (0, 0)
    piece.write_text("two")
    assert keep() != 0
    assert (place / "0001").read_text() == "one"
    assert [file.name for file in place.iterdir()] == ["0001"]


def test_an_external_server_is_backed_up_by_its_own_means(command):
    for arguments in (("backup",), ("restore", "somewhere")):
        done = command(*arguments)

        assert done.exit_code == 1
        assert "is on an external server" in done.output
        assert "pg_dump" in done.output


def dump_into(one: House, two: House, file: Path) -> None:
    """Dump one database with pg_dump and restore it with pg_restore into an empty one of another server."""
    with two.database.server_admin() as conn:
        conn.execute(f'drop database "{two.name}" with (force)'.encode())
        conn.execute(f'create database "{two.name}" template template0'.encode())
    for program, house, options in (
        ("pg_dump", one, ["-Fc", f"--file={file}"]),
        ("pg_restore", two, ["--exit-on-error", str(file)]),
    ):
        url = house.database.embedded().url(house.name)
        done = subprocess.run(
            [house.database.program(program), f"--dbname={url}", *options],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_a_dump_restored_into_another_server_is_halted_and_readers_and_seals_go_on(house):
    """Transaction ids are lower there; no event may be skipped, read twice, or look inserted."""
    two = make(house.place.parent / "two")
    with house.database.server_admin() as conn:
        for _ in range(3000):
            conn.execute("select pg_current_xact_id()")
    for text in ("read", "sealed only", "not even sealed"):
        house.note(text)
        with house.database.admin() as conn:
            if text == "read":
                (last,) = conn.execute("select max(event_id) from bus.events").fetchone()
                conn.execute("select from api.read_events('reader', 10000)")
                conn.execute("select api.advance_consumer('reader', %s)", [last])
            if text != "not even sealed":
                conn.execute("select api.seal_events(10000)")

    dump_into(house, two, house.place / "dump")
    two.does("db", "migrate")
    two.note("before the first start there")
    two.begin_run("")
    two.note("after it")

    with two.database.admin() as conn:
        row = conn.execute("select is_foreign, mode, mode_reason from api.status").fetchone()
        assert row[:2] == (True, "HALT")
        assert "it was on server" in row[2]
        lower = "select min(xid::text::bigint) from bus.events where generation = 2"
        higher = "select max(xid::text::bigint) from bus.events where generation = 1"
        assert conn.execute(f"select ({lower}) < ({higher})".encode()).fetchone() == (True,)
        events = conn.execute("select change, entity from api.read_events('reader', 10000)").fetchall()
        conn.execute("select api.seal_events(10000)")
    assert [change for change, entity in events if entity == "test"] == [
        "sealed only",
        "not even sealed",
        "before the first start there",
        "after it",
    ]
    assert "The history is unchanged" in two.does("audit", "verify")
    assert two.does("audit", "laws") == "Every law held.\n"
