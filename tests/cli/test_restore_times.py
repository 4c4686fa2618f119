"""With its log kept, a database is restored to any later time; without it, to the backup's own."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

from cli.database import archive


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
