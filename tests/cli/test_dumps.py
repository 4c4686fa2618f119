"""A dump restored into another server is halted, and its readers and seals go on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.cli.house import House, make


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
