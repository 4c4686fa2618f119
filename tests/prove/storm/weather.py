"""What a storm counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Weather:
    """The results of a storm."""

    seconds: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    deadlocks: int = 0
    audit: list[Any] = field(default_factory=list)
    fills: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.deadlocks or self.audit or self.unexpected)

    def __str__(self) -> str:
        calls = sum(self.calls.values())
        lines = [
            f"{calls:,} calls in {self.seconds:.0f} s ({calls / self.seconds:,.0f}/s), {self.fills:,} fills:"
            f" {self.deadlocks} deadlocks, {len(self.audit)} violations,"
            f" {len(self.unexpected)} unexpected errors",
            "calls: " + ", ".join(f"{name} {count:,}" for name, count in self.calls.most_common()),
            "refused: " + ", ".join(f"{code} {count:,}" for code, count in self.errors.most_common()),
        ]
        return "\n".join([*lines, *map(str, self.audit[:20]), *self.unexpected[:20]])
