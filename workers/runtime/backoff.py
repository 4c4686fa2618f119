"""How long to wait before trying again: twice as long each time, up to a limit, and never all at once."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Seconds to wait: first, 2 first, 4 first ... at most `most`, each by up to half shorter."""

    first: float = 0.1
    most: float = 5.0
    failures: int = 0

    def next(self) -> float:
        self.failures += 1
        full = min(self.most, self.first * 2.0 ** min(self.failures - 1, 30))
        return full * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self.failures = 0
