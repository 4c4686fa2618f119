"""The rooms of cli/: a file beside main is a command, and what a command uses is in a folder."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "cli").rglob("*.py")
}
HERE = {name for name in FILES if name.count(".") == 1 and FILES[name].name != "__init__.py"}
ROOMS = sorted(name for name in FILES if name.count(".") == 1 and FILES[name].name == "__init__.py")
MAY_USE = {
    "cli.common": {"cli.database"},
    "cli.database": set(),
    "cli.checks": {"cli.common", "cli.database"},
    "cli.running": {"cli.common", "cli.database"},
    "cli.replaying": {"cli.common", "cli.database"},
}
"""The rooms that each room may import from, besides itself."""


def imported(path: Path) -> set[str]:
    """The modules of cli that a file imports anywhere, also in functions and for types only."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
            names |= modules or {node.module}
    return names & FILES.keys()


def test_a_file_beside_main_is_a_command():
    commands = {target.partition(":")[0] for section in COMMANDS.values() for target in section.values()}

    assert {"cli.main", *commands} == HERE


@pytest.mark.parametrize("room", ["cli", *ROOMS])
def test_a_room_says_in_one_line_what_belongs_there(room):
    text = ast.get_docstring(ast.parse(FILES[room].read_text(encoding="utf-8"))) or ""

    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize("command", sorted(HERE))
def test_no_command_imports_another(command):
    assert imported(FILES[command]) & HERE == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_below_it(room):
    allowed = MAY_USE[room] | {room}
    inside = [path for name, path in FILES.items() if name == room or name.startswith(f"{room}.")]
    used = {".".join(name.split(".")[:2]) for path in inside for name in imported(path)}

    assert used <= allowed


def test_no_two_files_import_each_other():
    TopologicalSorter({name: imported(path) - {name} for name, path in FILES.items()}).prepare()
