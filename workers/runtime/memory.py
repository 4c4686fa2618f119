"""Memory of a process, and memory and processor use of the machine, read from /proc where it exists."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import deque
from pathlib import Path


def resident_bytes(pid: int | None = None) -> int | None:
    """The resident memory of a process.  Without /proc: this process's peak, and None for another process."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]
    except OSError:
        if pid is not None:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def memory_used() -> float | None:
    """The share of the machine's memory that is in use; None where it is unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return 1.0 - kilobytes["MemAvailable"] / kilobytes["MemTotal"]


class CpuMeter:
    """The share of the machine's processor time in use over the last ten seconds."""

    def __init__(self, over: float = 10.0) -> None:
        self._over = over
        self._samples = deque([(time.monotonic(), *_cpu_ticks())])

    def used(self) -> float | None:
        """The share in use; None until that time has passed.  Without /proc, the load of the last minute."""
        now = time.monotonic()
        if now - self._samples[-1][0] >= self._over / 10:
            self._samples.append((now, *_cpu_ticks()))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self._over:
            self._samples.popleft()
        (first, busy_before, before), (last, busy_now, total_now) = self._samples[0], self._samples[-1]
        if last - first < self._over * 0.9:
            return None
        passed = total_now - before
        return (
            (busy_now - busy_before) / passed
            if passed
            else min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        )


def _cpu_ticks() -> tuple[int, int]:
    """Busy ticks and all ticks since the machine started, over all processors."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return 0, 0
    ticks = [int(part) for part in first.split()[1:9]]
    idle = ticks[3] + ticks[4]  # idle, and waiting for the disk
    return sum(ticks) - idle, sum(ticks)
