"""How much memory a process holds and how much a machine has, read from /proc where there is one."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path


def resident_bytes(pid: int | None = None) -> int | None:
    """The resident memory of a process; without /proc, the peak of this one, and unknown of another."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]
    except OSError:
        if pid is not None:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def memory_used() -> float | None:
    """The share of the machine's memory that is in use, or None where that cannot be known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return 1.0 - kilobytes["MemAvailable"] / kilobytes["MemTotal"]


class CpuMeter:
    """The share of the machine's processor time that was used since it was last asked."""

    def __init__(self) -> None:
        self._busy, self._total = _cpu_times()

    def used(self) -> float | None:
        busy, total = _cpu_times()
        spent, passed = busy - self._busy, total - self._total
        self._busy, self._total = busy, total
        return spent / passed if passed > 0 else None


def _cpu_times() -> tuple[float, float]:
    """Ticks spent working and ticks passed, over all processors; the load average where there is no /proc."""
    try:
        ticks = [int(part) for part in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        ticks = []
    if not ticks:
        return 0.0, 0.0
    idle = ticks[3] + ticks[4]  # idle and waiting for a disk
    return float(sum(ticks) - idle), float(sum(ticks))
