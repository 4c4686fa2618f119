"""Figures and how they are printed: the value, the floor measured beside it, their ratio, and the aim.

Absolute values vary with the machine and its other load; the ratio to a floor measured in the same minute can
be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measured value. `less` says whether lower is better; floor and aim are optional."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    aim: float | None = None
    less: bool = True

    @property
    def ratio(self) -> str:
        """How many times the cost of the floor this is."""
        if not self.floor or not self.value:
            return ""
        return f"{self.value / self.floor if self.less else self.floor / self.value:.1f} x"

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return ""
        met = self.value <= self.aim if self.less else self.value >= self.aim
        return f"{'met' if met else 'MISSED'} ({'<=' if self.less else '>='} {number(self.aim)})"


@dataclass
class Section:
    """The figures of one benchmark, and what limits them."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        floor: float | None = None,
        aim: float | None = None,
        less: bool = True,
    ) -> None:
        self.figures.append(Figure(name, value, unit, floor, aim, less))

    def add_latency(
        self,
        name: str,
        samples: Sequence[float],
        *,
        floor: Sequence[float] | None = None,
        aims: tuple[float | None, float | None] = (None, None),
    ) -> None:
        """Add median and 99th percentile of samples given in seconds, in milliseconds."""
        for part, label, aim in ((0.5, "p50", aims[0]), (0.99, "p99", aims[1])):
            bare = None if floor is None else percentile(floor, part) * 1000
            self.add(f"{name}, {label}", percentile(samples, part) * 1000, "ms", floor=bare, aim=aim)

    def print(self) -> None:
        rows = [("", "", "", "floor", "ratio", "aim")]
        rows += [
            (f.name, number(f.value), f.unit, "" if f.floor is None else number(f.floor), f.ratio, f.verdict)
            for f in self.figures
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        print(f"\n{self.title}")
        for row in rows:
            cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].ljust(widths[2])]
            cells += [row[3].rjust(widths[3]), row[4].rjust(widths[4]), row[5]]
            print(("  " + "  ".join(cells)).rstrip())
        for note in self.notes:
            print(f"  {note}")


def percentile(samples: Iterable[float], part: float) -> float:
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def number(value: float) -> str:
    """The value as text; about three digits are enough for a benchmark."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"
