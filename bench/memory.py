"""Memory of each worker process after some seconds of the simulator."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.report import Section
from bench.scratch import Scratch
from cli.database.connect import DESK
from workers.feeds.simulator import INSTRUMENTS
from workers.runtime.registry import CORE

SECONDS = 10
AIM = 64.0
FEED = "sim:1,rate=2000"


async def run(scratch: Scratch) -> list[Section]:
    section = Section(f"Memory of each worker after {SECONDS} s of {FEED}")
    await _furnish(scratch)
    bare = await _bare_interpreter()
    commands = [(name, FEED) if name == "price_sync" else (name,) for name in CORE]
    with scratch.workers(*commands, ("strategy", "momentum")) as pids:
        await asyncio.sleep(SECONDS)
        for name, pid in pids.items():
            rss, pss = _megabytes(pid)
            section.add(f"{name}, resident", rss, "MB", floor=bare, aim=AIM)
            section.add(f"{name}, its share (PSS)", pss, "MB")
    section.notes.append("floor: a Python that has imported asyncio alone")
    section.notes.append(
        "limit: the interpreter, asyncpg and pydantic; the share counts pages used by several once"
    )
    return [section]


async def _furnish(scratch: Scratch) -> None:
    scratch.database.ensure_strategy_login("momentum")
    symbols = [i.symbol for i in INSTRUMENTS]
    async with scratch.connect(DESK) as desk:
        await desk.execute("select api.add_account('memory', 'paper', 'SIM', 'KRW', null, 100000000)")
        for symbol in symbols:
            await desk.execute("select api.add_instrument('SIM', $1, $1, 'KRW', 'KRX')", symbol)
        await desk.execute(
            "select api.add_strategy('momentum', $1, 'memory', $2, 5e7, 1e6, 'tight')",
            *("workers.strategies.momentum:Momentum", symbols),
        )
        await desk.execute("select api.start_strategy('momentum')")


async def _bare_interpreter() -> float:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import asyncio, sys; print(flush=True); sys.stdin.read()"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    resident, _ = _megabytes(process.pid)
    await process.communicate(b"")
    return resident


def _megabytes(pid: int) -> tuple[float, float]:
    """Resident memory, and its proportional share (PSS): a page shared by n processes counts 1/n."""
    sizes = {
        name: int(rest.split()[0]) / 1024
        for name, _, rest in (
            line.partition(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        )
        if name in ("Rss", "Pss")
    }
    return sizes["Rss"], sizes["Pss"]
