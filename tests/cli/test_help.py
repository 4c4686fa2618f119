"""Every command has help, and showing help imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, cli, short_help

HEAVY = ("psycopg", "asyncpg", "pydantic", "rich", "psycopg_pool")


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name
            yield from walk(child, (*path, name))


ALL = {" ".join(path): command for path, command in walk(cli, ("aegis",))}


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_help_with_a_sentence_and_examples(path):
    result = CliRunner().invoke(cli, [*path.split()[1:], "--help"])

    assert result.exit_code == 0, result.output
    text = ALL[path].help or ""
    first = text.strip().split("\n")[0]
    assert first.endswith("."), f"{path}: the first line of help is a sentence on one line: {first!r}"
    assert "Example" in text, f"{path}: no examples"
    assert f"  {path.split()[0]} " in text or "| aegis" in text, f"{path}: the examples show the command"


@pytest.mark.parametrize("path", ALL)
def test_every_option_has_help(path):
    silent = [
        option.name
        for option in ALL[path].params
        if isinstance(option, click.Option) and not option.help and not option.hidden
    ]

    assert silent == []


@pytest.mark.parametrize("target", [target for section in COMMANDS.values() for target in section.values()])
def test_the_line_read_from_the_source_is_the_real_one(target):
    module, attribute = target.split(":")
    command = getattr(__import__(module, fromlist=[attribute]), attribute)

    assert short_help(target) == (command.help or "").split("\n")[0] != ""


def test_help_and_version_load_no_driver_and_no_framework():
    code = f"""
import sys
from cli.main import COMMANDS, cli
commands = [name for section in COMMANDS.values() for name in section]
for arguments in (["--help"], ["--version"], *([name, "--help"] for name in commands)):
    try:
        cli.main(arguments, prog_name="aegis")
    except SystemExit as end:
        assert end.code == 0
heavy = [name for name in {HEAVY} if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_mistyped_command_is_guessed():
    result = CliRunner().invoke(cli, ["dbb"])

    assert result.exit_code == 2
    assert "Did you mean db?" in result.output
