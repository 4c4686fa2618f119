"""A user who starts `aegis up`, and what it prints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from cli.database.connect import Database
from cli.database.postmaster import answering
from workers.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
CODE = "from cli.main import main; main()"


class Aegis:
    """A user at a machine with one data directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.database = Database(Settings(data_dir=place), "demo")
        self.started: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        foreign = ("AEGIS_", "PG", "COLUMNS", "LINES")  # the last two hide a terminal's own size
        env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return env | {"AEGIS_DATA_DIR": str(self.place), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CODE, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def up(self, *arguments: str) -> Up:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, "up", "--plain", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return Up(process)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query as the administrator; the server must run."""
        self.database.server = None
        with self.database.admin() as conn:
            return conn.execute(query.encode()).fetchall()

    @property
    def server_runs(self) -> bool:
        return answering(self.place / "server" / "data") is not None

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()


class Up:
    """A running `aegis up` and its output so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str) -> str:
        """Wait for a line that matches, among old and new ones; return the first."""
        found: list[str] = []

        def heard() -> bool:
            found[:] = [line for line in self.lines if re.search(pattern, line)]
            return bool(found)

        with self._more:
            assert self._more.wait_for(heard, PATIENCE), f"never said: {pattern}\n{self.said}"
        return found[0]

    def interrupt(self) -> int:
        """Send SIGINT, as Ctrl-C does; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        """Wait for the process to end and for all its output; return the exit status."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def workers(self) -> list[int]:
        """The pids of its worker processes."""
        found = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = file.read_text().rpartition(")")[2].split()
                command = (file.parent / "cmdline").read_text()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid and "workers" in command.split("\0"):
                found.append(int(file.parent.name))
        return found
