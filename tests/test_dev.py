"""dev.py creates one environment, says what is wrong, and needs only the standard library."""

import ast
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dev


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which every installer succeeds at once and installs nothing."""
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(dev.ROOT / name, tmp_path / name)
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(dev, "attempt", lambda *_, **__: None)
    return tmp_path


def test_it_imports_the_standard_library_only() -> None:
    tree = ast.parse((dev.ROOT / "dev.py").read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_help_makes_no_environment(arguments: list[str], tmp_path: Path) -> None:
    alone = shutil.copy(dev.ROOT / "dev.py", tmp_path)

    shown = subprocess.run([sys.executable, alone, *arguments], capture_output=True, text=True, check=True)

    assert "python3 dev.py up" in shown.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "dev.py"]


def test_an_unknown_command_is_named() -> None:
    done = subprocess.run(
        [sys.executable, str(dev.ROOT / "dev.py"), "upp"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (
        1,
        "dev.py: there is no command upp; see python3 dev.py --help\n",
    )


def test_a_second_run_makes_nothing(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = dev.environment()
    assert "Making the environment" in capsys.readouterr().err

    second = dev.environment()

    assert second.path == first.path == checkout / ".venv"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_changed_packages_make_it_again(checkout: Path, changed: str) -> None:
    env = dev.environment()

    (checkout / changed).write_text("something else")

    assert not env.is_ready


def test_a_moved_checkout_makes_it_again(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = dev.environment()

    monkeypatch.setattr(dev, "ROOT", checkout / "elsewhere")
    monkeypatch.setattr(dev, "LOCK", checkout / "requirements.lock")
    (checkout / "elsewhere").mkdir()
    shutil.copy(checkout / "pyproject.toml", checkout / "elsewhere")

    assert not env.is_ready


def test_a_vanished_interpreter_makes_it_again(checkout: Path) -> None:
    env = dev.environment()
    for python in (env.path / "bin").glob("python*"):
        python.unlink()

    assert not env.is_ready
    assert dev.environment().is_ready


def test_an_installation_that_fails_leaves_no_stamp(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "attempt", lambda *_, **__: "first line\nerror: no network")

    with pytest.raises(dev.SetupError) as caught:
        dev.environment()

    assert not (checkout / ".venv" / "aegis.stamp").exists()
    for way in ("uv", "the system's pip", "ensurepip"):
        assert f"--- {way}:\nfirst line\nerror: no network" in str(caught.value)


def test_the_next_installer_takes_over(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def only_pip(command: list[str], **_: str) -> str | None:
        tried.append(command[0])
        return None if "--python" in command and "pip" in command[2] else "broken"

    monkeypatch.setattr(dev, "attempt", only_pip)

    assert dev.environment().is_ready
    assert tried[-1] == sys.executable


def test_a_second_first_command_waits_for_the_first(checkout: Path) -> None:
    with dev.only_one(checkout / ".venv"):
        descriptor = os.open(checkout / ".venv", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_somebody_elses_checkout_gets_an_environment_in_ones_own_cache(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    checkout.chmod(0o500)

    env = dev.environment()

    checkout.chmod(0o700)
    assert env.path.is_relative_to(cache)


def test_an_old_python_hands_over_to_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(dev, "OLDEST", (99, 11))
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name == "python3.14" else None)
    monkeypatch.setattr(dev, "become", ran.append)
    monkeypatch.setattr(sys, "argv", ["dev.py", "up"])

    with pytest.raises(dev.SetupError):  # the real become does not return
        dev.use_a_newer_python()

    assert ran[0] == ["/opt/python3.14", dev.__file__, "up"]


def test_the_lock_file_pins_everything_and_names_no_host() -> None:
    lines = dev.LOCK.read_text().splitlines()

    assert [line for line in lines if "==" not in line or "://" in line or line.startswith("-")] == []


def test_the_quick_tests_are_files_that_exist() -> None:
    assert [path for path in dev.QUICK if not (dev.ROOT / path).is_file()] == []


def test_a_complaint_of_a_checker_is_shown_and_fails(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name, status in (("good", 0), ("bad", 1)):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho {name} says so\nexit {status}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setattr(dev, "CHECKS", {"good": ["good"], "bad": ["bad"]})

    failed = dev.check(dev.Environment(tmp_path))

    shown = capfd.readouterr()
    assert failed == ["bad"]
    assert shown.err == "good: ok\nbad: FAILED\n"
    assert "bad says so" in shown.out
    assert "good says so" not in shown.out
