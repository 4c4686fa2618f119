"""`python -m bench [NAME ...]`: run the benchmarks and print their figures.

NAME is latency, ingest, intents, replay, memory, flat or processor; without one, all of them.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
from importlib import import_module

from bench.scratch import scratch

BENCHES = ("latency", "ingest", "intents", "replay", "memory", "flat", "processor")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"there is no benchmark {unknown[0]}; they are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that the scratch server stops
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"Python {platform.python_version()} on {platform.machine()}, {load}; embedded server, fsync on")
    for name in names or BENCHES:
        with scratch() as place:  # each benchmark gets its own server, without data of the others
            for section in asyncio.run(import_module(f"bench.{name}").run(place)):
                section.print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
