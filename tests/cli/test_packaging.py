"""A wheel of Aegis works without the checkout it was built from."""

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., str]

COMMAND = """
import sys
from importlib.metadata import distribution
(script,) = distribution("aegis").entry_points.select(group="console_scripts", name="aegis")
sys.argv = ["aegis", *sys.argv[1:]]
sys.exit(script.load()())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python where the wheel is installed, outside the checkout; other packages come from this one."""
    away = tmp_path_factory.mktemp("away")
    venv.create(away / "venv", with_pip=False, symlinks=True)
    (site,) = (away / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def python(*arguments: str) -> str:
        command = [str(away / "venv" / "bin" / "python"), "-I", *arguments]
        done = subprocess.run(command, cwd=away, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return python


def test_the_command_aegis_runs(run: Run) -> None:
    assert "Usage: aegis" in run("-c", COMMAND, "--help")


def test_it_runs_its_own_files_and_not_the_checkouts(run: Run) -> None:
    where = run("-c", "import cli, workers; print(cli.__file__, workers.__file__)")

    assert str(ROOT / "cli") not in where
    assert where.count("site-packages") == 2


@pytest.mark.parametrize("kind", ["live", "replay"])
def test_it_finds_every_migration_and_all_code(run: Run, kind: str) -> None:
    script = """
import json, sys
from cli.database.files import read_source
source = read_source(sys.argv[1])
print(json.dumps([[file.name, file.checksum] for file in (*source.migrations, *source.code)]))
"""
    installed = json.loads(run("-c", script, kind))
    checkout = json.loads(subprocess.check_output([sys.executable, "-c", script, kind], cwd=ROOT))

    assert installed == checkout
    assert {name.partition("/")[0] for name, _ in installed} == {"schema", "sql"}


@pytest.mark.parametrize("name", ["pgbouncer.ini", "pgbouncer_hba.conf"])
def test_it_brings_the_poolers_configuration(run: Run, name: str) -> None:
    script = "import sys; from cli.database.pooler import *; print(shipped_file(sys.argv[1]).read_text())"

    assert run("-c", script, name).strip() == (ROOT / name).read_text().strip()


def test_every_module_can_be_imported(run: Run) -> None:
    script = """
import importlib, pkgutil
import cli, workers
for package in (cli, workers):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
    run("-c", script)


def test_the_wheel_holds_nothing_but_what_runs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    strangers = [name for name in names if not name.startswith(("cli/", "workers/", "aegis-"))]

    assert strangers == []
    assert not [name for name in names if "test" in name or name.endswith(".pyc")]
