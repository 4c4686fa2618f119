"""A user who replays recordings, and recordings to replay."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from cli.database.embedded import Server
from workers.feeds import Quote
from workers.feeds.recording import HEADER
from workers.feeds.simulator import Market

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "replay"]


class Person:
    """A user with a new home directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "data"
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AEGIS_", "PG"))}
        self.environment = env | {
            "HOME": str(home),
            "AEGIS_DATA_DIR": str(self.data),
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def replay(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        done = self.replay(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def databases(self) -> list[str]:
        with psycopg.connect(Server.attach(self.data / "server").url("postgres")) as conn:
            query = "select datname from pg_database where datname ^@ 'replay' order by 1"
            return [name for (name,) in conn.execute(query)]


def record(file: Path, events: int, *broken: str) -> Path:
    lines = []
    for event in islice(Market(7, rate=150).events(datetime(2025, 1, 2, tzinfo=UTC)), events):
        ts = event.ts.isoformat(timespec="microseconds").replace("+00:00", "Z")
        if isinstance(event, Quote):
            lines.append(f"{ts},{event.symbol},{event.bid},{event.bid_size},{event.ask},{event.ask_size},,\n")
        else:
            lines.append(f"{ts},{event.symbol},,,,,{event.price},{event.size}\n")
    with gzip.open(file, "wt") as out:
        out.writelines([HEADER + "\n", *lines, *broken])
    return file


def row(second, symbol, *numbers):
    return f"2024-01-01T00:00:{second:02}Z,{symbol},{','.join(numbers)},,"
