"""Events per second of `aegis replay`, compared with reading the file and with only ingesting its prices."""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from asyncio import create_subprocess_exec
from asyncio.subprocess import DEVNULL, PIPE
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from bench.report import Section
from bench.scratch import ROOT, Scratch
from workers.feeds import Quote
from workers.feeds.ingest import ingest
from workers.feeds.recording import HEADER, Recording
from workers.feeds.simulator import Market
from workers.replay import steps

SAMPLE = os.environ.get("AEGIS_SAMPLE_RECORDING")  # read before the scratch server clears the environment
EVENTS = 60_000
AIM = 5000.0
STEP = timedelta(milliseconds=50)


async def run(scratch: Scratch) -> list[Section]:
    file = Path(SAMPLE) if SAMPLE else _make_recording(scratch.directory / "sim_bench.csv.gz")
    section = Section(f"Replay of {file.name}")
    began = time.perf_counter()
    events = sum(1 for _ in Recording(file).events())
    reading = events / (time.perf_counter() - began)
    section.add("reading the file", reading, "events/s")
    bare = await _prices_alone(scratch, file)
    section.add("its prices alone, by ingest_quotes in the same steps", bare, "events/s")
    answer = await _replay(scratch, file)
    rate = answer["events_per_second"]
    section.add("aegis replay", rate, "events/s", floor=bare, aim=AIM, less=False)
    section.notes.append(
        f"{answer['events']:,} events in {answer['steps']:,} steps, {answer['fills']} fills, "
        f"law audit {answer['law_audit']}"
    )
    section.notes.append("limit: about ten round trips a step, one at a time on one connection")
    return [section]


async def _replay(scratch: Scratch, file: Path) -> dict[str, int]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AEGIS_DATA_DIR": str(scratch.directory),
    }
    process = await create_subprocess_exec(
        *(sys.executable, "-c", "from cli.main import main; main()", "replay", str(file), "--json"),
        env=environment,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    output, _ = await process.communicate()
    answer: dict[str, int] = json.loads(output)
    return answer


async def _prices_alone(scratch: Scratch, file: Path) -> float:
    """Pass the same batches to the same function, with no other worker that acts on them."""
    symbols = sorted({event.symbol for event in islice(Recording(file).events(), 20_000)})
    async with scratch.connect("aegis_desk") as desk, scratch.connect("aegis_w_price_sync") as feed:
        for symbol in symbols:
            await desk.execute("select api.add_instrument('SIM', $1, $1, 'KRW', 'KRX')", symbol)
        await feed.execute("set synchronous_commit = off")
        seq = await feed.fetchval("select api.open_feed('bench', 'SIM', 'sim')")
        began, count = time.perf_counter(), 0
        for _, events in steps(Recording(file).events(), STEP):
            await ingest(feed, "bench", seq + count, events)
            count += len(events)
        return count / (time.perf_counter() - began)


def _make_recording(file: Path) -> Path:
    """Write EVENTS simulator events to a file, the same each time."""
    events = islice(Market(1, rate=400).events(datetime(2025, 1, 2, tzinfo=UTC)), EVENTS)
    with gzip.open(file, "wt", compresslevel=1) as out:
        out.write(HEADER + "\n")
        for event in events:
            ts = event.ts.isoformat(timespec="microseconds").replace("+00:00", "Z")
            if type(event) is Quote:
                out.write(
                    f"{ts},{event.symbol},{event.bid},{event.bid_size},{event.ask},{event.ask_size},,\n"
                )
            else:
                out.write(f"{ts},{event.symbol},,,,,{event.price},{event.size}\n")  # type: ignore[union-attr]
    return file
