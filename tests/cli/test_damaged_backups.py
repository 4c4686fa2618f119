"""A backup that is damaged, or of another version of PostgreSQL, is not restored."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path


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
