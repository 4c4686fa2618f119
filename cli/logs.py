"""`aegis logs`: the logs of all processes in one stream ordered by time.

Every line begins with its time in UTC, so files are merged by comparing text, and lines before --since are
skipped without parsing them.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from heapq import merge
from pathlib import Path
from typing import Any, TextIO

import click

from cli.common.context import App, pass_app
from cli.common.options import json_option
from workers.runtime.logs import FILES_KEPT, LEVELS, parse, render

LINES = 100
LOOK_EVERY = 0.2
TIME = slice(len('{"ts": "'), len('{"ts": "2026-01-01T00:00:00.000'))
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Ago(click.ParamType[str]):
    """A time such as 30s, 5m, 2h or 1d ago."""

    name = "ago"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        found = re.fullmatch(r"(\d+)([smhd])", value)
        if found is None:
            self.fail(f"{value!r} is not a time such as 30s, 5m, 2h or 1d", param, ctx)
        moment = datetime.now(UTC) - timedelta(**{UNITS[found[2]]: int(found[1])})
        return moment.isoformat(timespec="milliseconds")[:23]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-f", "--follow", is_flag=True, help="Keep showing new lines.")
@click.option("--since", type=Ago(), help="Show everything since 30s, 5m, 2h or 1d ago.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=LINES,
    show_default=True,
    help="How many of the last lines.",
)
@click.option(
    "--level", type=click.Choice(LEVELS, case_sensitive=False), default="DEBUG", help="The lowest level."
)
@json_option
@pass_app
def logs(app: App, names: tuple[str, ...], follow: bool, since: str | None, lines: int, level: str) -> None:
    """Show what the worker processes have logged.

    NAME is a worker, such as execution or strategy.momentum; `strategy` means every strategy.

    \b
    Examples:
      aegis logs -f
      aegis logs execution --since 5m --level warning
      aegis logs strategy --json
    """
    shown = Shown(level.upper(), as_json=app.out.json)
    followed = Followed(app.settings.log_dir, names)
    shown.print(_past(followed, since, lines, shown))
    if not follow:
        if not followed.files and not app.out.json:
            click.echo(f"{app.settings.log_dir} has no log of {', '.join(names) or 'any process'}.")
        return
    try:
        while True:
            shown.print(merge(*followed.news(), key=_time))
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        return


class Shown:
    """Which entries are printed, and how."""

    def __init__(self, level: str, *, as_json: bool) -> None:
        self.levels = LEVELS[LEVELS.index(level) :]
        self.as_json = as_json

    def wants(self, line: str) -> bool:
        entry = parse(line)
        return entry is not None and entry["level"] in self.levels

    def print(self, lines: Iterable[str]) -> None:
        for line in filter(self.wants, lines):
            entry = parse(line)
            assert entry is not None
            click.echo(line.rstrip("\n") if self.as_json else render(entry, colour=True))


class Followed:
    """The log files of these processes, each with the position read so far; follows rotation."""

    def __init__(self, directory: Path, names: tuple[str, ...]) -> None:
        self.directory = directory
        self.names = names
        self.files: dict[Path, TextIO] = {}

    def news(self) -> list[list[str]]:
        """For each process, the complete lines written since the last call."""
        for path in sorted(self.directory.glob("*.log")):
            if path not in self.files and self._is_meant(path.stem):
                self.files[path] = path.open(encoding="utf-8", errors="replace")
        return [list(self._read(path)) for path in list(self.files)]

    def _is_meant(self, process: str) -> bool:
        return not self.names or any(process == name or process.startswith(f"{name}.") for name in self.names)

    def _read(self, path: Path) -> Iterator[str]:
        yield from _whole_lines(self.files[path])
        if _is_rotated(self.files[path], path):
            yield from _whole_lines(self.files[path])
            self.files.pop(path).close()
            self.files[path] = path.open(encoding="utf-8", errors="replace")
            yield from _whole_lines(self.files[path])


def _past(followed: Followed, since: str | None, lines: int, shown: Shown) -> Iterable[str]:
    """The lines already written: all since a time, or the last so many that are wanted."""
    present = followed.news()
    rotated = [_rotated(path) for path in followed.files]
    everything = merge(*(merge(*parts, key=_time) for parts in zip(rotated, present, strict=True)), key=_time)
    if since is not None:
        return (line for line in everything if _time(line) >= since)
    return deque(filter(shown.wants, everything), maxlen=lines)


def _rotated(path: Path) -> Iterator[str]:
    """The lines of the rotated files of this log, oldest first."""
    for number in range(FILES_KEPT, 0, -1):
        aside = path.with_name(f"{path.name}.{number}")
        if aside.exists():
            with aside.open(encoding="utf-8", errors="replace") as file:
                yield from file


def _whole_lines(file: TextIO) -> Iterator[str]:
    """The complete lines up to the end; a line still being written is left for the next call."""
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(start)
            return
        yield line


def _is_rotated(file: TextIO, path: Path) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino != path.stat().st_ino
    except FileNotFoundError:
        return False


def _time(line: str) -> str:
    return line[TIME]
