"""Random walks with a seed: any number of steps, and each example can be repeated by its number."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tests.prove.place import Place
from tests.prove.walk.steps import STEPS, begin, take

T = TypeVar("T")

LENGTH = 60  # steps of one example


class Stream:
    """Random choices from a seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def one_of(self, options: Sequence[T]) -> T:
        return self._random.choice(options)


@dataclass
class Figures:
    """The counts of a walk."""

    steps: int = 0
    examples: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)  # how often each interesting case occurred


class Failed(AssertionError):
    """A walk that found a violation: which one, and how to repeat it."""

    def __init__(self, seed: str, number: int, step: str, error: BaseException, script: str) -> None:
        super().__init__(seed, number, step, error, script)  # pickled between processes by these arguments

    def __str__(self) -> str:
        seed, number, step, error, script = self.args
        return (
            f"seed {seed}, example {number}, at {step}: {error!r}\n\n{script}\n\n"
            f"again: python -m tests.prove --seed {seed} --first {number} --steps 1"
        )


def example(place: Place, seed: str, number: int, figures: Figures, most: int = LENGTH) -> None:
    """Walk one example."""
    stream = Stream(f"{seed}/{number}")
    names, weights = list(STEPS), [weight for _, weight in STEPS.values()]
    stream_of_steps = random.Random(f"{seed}/{number}/steps").choices(names, weights, k=most)
    name = "begin"
    try:
        walk = begin(place)
        walk.choices = stream
        for name in stream_of_steps:
            take(walk, name)
            figures.steps += 1
            figures.kinds[name] += 1
    except Exception as error:
        raise Failed(seed, number, name, error, place.as_script()) from error
    figures.examples += 1
    figures.reached += walk.reached
    if number % 50 == 49:
        place.vacuum()


def walk(place: Place, steps: int, seed: str = "0", first: int = 0, every: float | None = None) -> Figures:
    """Walk examples until this many steps are done; print the progress every `every` seconds."""
    figures = Figures()
    began = reported = time.monotonic()
    number = first
    while figures.steps < steps:
        example(place, seed, number, figures)
        number += 1
        figures.seconds = time.monotonic() - began
        if every is not None and time.monotonic() - reported > every:
            reported = time.monotonic()
            print(
                f"{figures.steps:,} steps, {figures.steps / figures.seconds:,.0f}/s,"
                f" go on with --seed {seed} --first {number}",
                flush=True,
            )
    return figures
