"""Processor time of each process and its server processes: trading, with twenty strategies, and at rest."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.report import Section
from bench.scratch import ROOT, Scratch
from workers.feeds.recording import HEADER

WARM_UP = 15.0
SECONDS = 40.0
ENDED = f"{HEADER}\n2025-01-02T00:00:00Z,005930,70000,1,70100,1,,\n"
MORE = """
select
    api.add_strategy(
        format('extra_%s', n), s.class, a.account, s.symbols, 1e6, 1e5, s.exit_profile, s.parameters
    ),
    api.start_strategy(format('extra_%s', n))
from strategy.strategies as s
join trade.accounts as a using (account_id)
cross join generate_series(1, 18) as n
where s.strategy = 'momentum'
"""


async def run(scratch: Scratch) -> list[Section]:
    """Measure the demo, the demo with eighteen more strategies, and workers whose feed has ended."""
    ended = scratch.directory / "sim_ended.csv.gz"
    ended.write_bytes(gzip.compress(ENDED.encode()))
    ended.chmod(0o644)
    with _up(scratch):
        demo = await _measure(scratch, "the demo, 200 quotes/s", aim=0.35)
    with scratch.workers(("supervisor", f"replay:{ended}")):
        rest = await _measure(scratch, "at rest, the feed has ended", aim=0.03)
    with scratch.database.admin() as conn:
        conn.execute(MORE)
    with _up(scratch):
        many = await _measure(scratch, "the demo with 20 strategies, 200 quotes/s")
    return [demo, rest, many]


@contextmanager
def _up(scratch: Scratch) -> Iterator[None]:
    """Run the whole system as a person would."""
    system = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "--database", "bench", "up", "--feed", "sim:1", "--plain"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        system.send_signal(signal.SIGINT)
        system.wait(timeout=60)


async def _measure(scratch: Scratch, title: str, *, aim: float | None = None) -> Section:
    """See what each process uses once the system is warm."""
    section = Section(f"Processor time: {title}; s/min of each process and its server processes")
    await asyncio.sleep(WARM_UP)
    with scratch.database.admin() as conn:
        assert conn.execute("select count(*) > 8 from api.workers where is_alive").fetchone() == (True,)
    first = _used(scratch)
    await asyncio.sleep(SECONDS)
    last = _used(scratch)
    shares = {name: (used - first.get(name, 0.0)) / SECONDS for name, used in last.items()}
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        section.add(name, 60 * share, "s/min")
    section.add("all together", sum(shares.values()), "cores", aim=aim)
    return section


def _used(scratch: Scratch) -> dict[str, float]:
    """Processor seconds so far: of each worker, the server processes of each login, and the rest."""
    server = scratch.database.embedded()
    postmaster = int((server.directory / "data" / "postmaster.pid").read_text().split()[0])
    processes = {process.pid: process for process in _processes()}
    found: defaultdict[str, float] = defaultdict(float)
    for process in processes.values():
        command = process.command
        if process.parent == postmaster:
            words = command[0].split()
            is_session = len(words) > 1 and words[1].startswith("aegis_")
            name = f"server: {words[1].removeprefix('aegis_')}" if is_session else "server: others"
        elif not _is_ours(process, processes):
            continue
        elif "workers" in command:
            name = " ".join(command[command.index("workers") + 1 :][:2]).partition(" replay:")[0]
        else:
            name = "aegis up: supervisor and display"
        found[name] += process.seconds
    return found


class Process(NamedTuple):
    """What /proc says of a process."""

    pid: int
    parent: int
    command: list[str]
    seconds: float


def _is_ours(process: Process | None, processes: Mapping[int, Process]) -> bool:
    """Whether this process descends from the benchmark."""
    while process is not None and process.parent != os.getpid():
        process = processes.get(process.parent)
    return process is not None


def _processes() -> Iterator[Process]:
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            # Not the ticks in stat: they are sampled, and who wakes on a timer is sampled too often.
            used = sum(int(file.read_text().split()[0]) for file in directory.glob("task/*/schedstat"))
        except OSError:
            continue
        yield Process(int(directory.name), parent, command, used / 1e9)
