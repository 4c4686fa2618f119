"""Exponential backoff: wait twice as long after each failure, up to a limit, with random jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Seconds to wait: `first`, then 2, 4, 8 ... times that, at most `most`; each shortened by up to half."""

    first: float = 0.1
    most: float = 5.0
    failures: int = 0

    def next(self) -> float:
        self.failures += 1
        full = min(self.most, self.first * 2.0 ** min(self.failures - 1, 30))
        return full * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self.failures = 0
