"""`aegis backup` and `aegis restore` on a separate server: what is restored is halted and recognised."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.database.backup import Backup
from tests.cli.house import CODE


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


def test_an_external_server_is_backed_up_by_its_own_means(command):
    for arguments in (("backup",), ("restore", "somewhere")):
        done = command(*arguments)

        assert done.exit_code == 1
        assert "is on an external server" in done.output
        assert "pg_dump" in done.output
