"""Check the laws for as long as wanted.

    python -m tests.prove --steps 1000000              make random calls of `api` and compare with the model
    python -m tests.prove --seed 7 --first 1200        continue where a run stopped, or repeat an example
    python -m tests.prove storm --seconds 60           sixteen clients at once on a few hot accounts

The exit status is 1 if a law is violated; a walk prints a script that reproduces the violation.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.prove.drive import Failed, Figures, walk
from tests.prove.place import Place, scratch_server
from tests.prove.storm.run import storm


def walks(seed: str, first: int, steps: int) -> Figures:
    """Walk in one process, with its own server and database."""
    with scratch_server() as connect:
        place = Place(connect)
        try:
            return walk(place, steps, seed, first, every=30)
        finally:
            place.close()


def walk_all(arguments: argparse.Namespace) -> int:
    """Divide the steps among processes; each walks the examples of its own seed."""
    count = arguments.processes
    seeds = [arguments.seed] if count == 1 else [f"{arguments.seed}.{n}" for n in range(count)]
    began = time.monotonic()
    with ProcessPoolExecutor(count) as pool:
        shares = [pool.submit(walks, seed, arguments.first, arguments.steps // count) for seed in seeds]
        try:
            done = [share.result() for share in shares]
        except Failed as failed:
            print(failed)
            return 1
    took = time.monotonic() - began
    steps, examples = sum(f.steps for f in done), sum(f.examples for f in done)
    print(f"{steps:,} steps of {examples:,} examples in {took:,.0f} s ({steps / took:,.0f}/s), no violation")
    total = sum((f.kinds for f in done), type(done[0].kinds)())
    print(", ".join(f"{name} {count:,}" for name, count in total.most_common()))
    reached = sum((f.reached for f in done), type(done[0].reached)())
    print("reached: " + ", ".join(f"{name} {count:,}" for name, count in sorted(reached.items())))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["walk", "storm"], default="walk")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--first", type=int, default=0, help="number of the first example")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    if arguments.what == "walk":
        return walk_all(arguments)
    with scratch_server() as connect:
        weather = storm(connect, arguments.seconds, arguments.clients, arguments.seed)
    print(weather)
    return 0 if weather.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
