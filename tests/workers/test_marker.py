"""The marker of a run, which is stored outside the database, and how the supervisor uses it."""

from __future__ import annotations

import asyncio

import pytest

from workers.runtime.marker import Marker, MarkerError
from workers.runtime.settings import Settings
from workers.supervisor import Supervisor

LOGIN = "aegis_w_supervisor"


def test_what_was_written_is_read_again(tmp_path):
    marker = Marker(tmp_path, "demo")

    assert marker.read() == ""
    marker.write("e:1:0/1")
    marker.write("e:2:0/2")

    assert marker.read() == "e:2:0/2"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["demo"], "nothing half done is left"
    assert marker.file.stat().st_mode & 0o077 == 0


def test_each_database_has_its_own_whatever_it_is_called(tmp_path):
    names = ["demo", "../demo", "a/b", "a%2Fb", "DEMO "]
    for name in names:
        Marker(tmp_path, name).write(name)

    assert [Marker(tmp_path, name).read() for name in names] == [name.strip() for name in names]
    assert len(list((tmp_path / "runs").iterdir())) == len(names)


def test_bytes_that_are_no_text_are_a_marker_nobody_believes(tmp_path):
    marker = Marker(tmp_path, "demo")
    marker.write("x")
    marker.file.write_bytes(b"\xff\x00" * 5000)

    assert 0 < len(marker.read()) <= 1000


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "runs").write_text("a file")
    marker = Marker(tmp_path, "demo")

    with pytest.raises(MarkerError, match="cannot write") as caught:
        marker.write("e:1:0/1")

    assert "AEGIS_DATA_DIR" in (caught.value.hint or "")


async def a_run(dsn, tmp_path, until):
    """Run the supervisor without workers until something is true, then stop it."""
    settings = Settings(database_url=dsn(LOGIN), data_dir=tmp_path)
    supervisor = Supervisor(settings, core=())
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(20):
        while not until(supervisor) and not running.done():  # noqa: ASYNC110 (rows and files set no event)
            await asyncio.sleep(0.01)
    supervisor.request_stop()
    await running


async def test_the_supervisor_gives_and_keeps_the_marker(db, dsn, database, tmp_path, caplog):
    marker = Marker(tmp_path, database)

    await a_run(dsn, tmp_path, lambda run: run.drains)
    first = marker.read()
    await a_run(dsn, tmp_path, lambda run: run.drains)

    assert marker.read().split(":")[:2] == [first.split(":")[0], "2"]
    assert db.execute("select is_foreign from bus.instance").fetchone() == (False,)

    marker.file.unlink()
    await a_run(dsn, tmp_path, lambda run: run.drains)

    assert db.execute("select mode, is_foreign from api.status").fetchone() == ("HALT", True)
    assert "restored or copied database (the marker outside the database is missing)" in caplog.text


async def test_the_marker_is_renewed_during_a_run(dsn, database, tmp_path, monkeypatch):
    monkeypatch.setattr("workers.supervisor.MARK_EVERY", 0.0)
    marker = Marker(tmp_path, database)
    seen = set()

    def three(run):
        seen.add(marker.file.stat().st_ino if marker.file.exists() else 0)
        run.wake.set()
        return len(seen) > 3

    await a_run(dsn, tmp_path, three)


async def test_a_database_exchanged_under_a_run_ends_it(db, dsn, tmp_path, monkeypatch):
    monkeypatch.setattr("workers.supervisor.MARK_EVERY", 0.0)

    def exchange(run):
        if run.drains:
            db.execute("update bus.instance set epoch = 'another'")
            run.wake.set()
        return False

    with pytest.raises(Exception, match="this database was replaced by another state"):
        await a_run(dsn, tmp_path, exchange)


async def test_a_marker_that_cannot_be_renewed_does_not_stop_the_run(dsn, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("workers.supervisor.MARK_EVERY", 0.0)

    def spoil(run):
        folder = tmp_path / "runs"
        if folder.is_dir():
            folder.rename(tmp_path / "gone")
            folder.write_text("a file")
        run.wake.set()
        return run.drains > 5

    await a_run(dsn, tmp_path, spoil)

    assert "cannot write" in caplog.text
