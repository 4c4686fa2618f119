"""Attack a trading system with hostile strategies: measure the cost to others and check every law.

The system first trades without them, for figures to compare with, then under attack.  Every ten seconds the
desk halts and resumes.  After the attack all books must be correct.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from tests.attack.observer import Figures, Observer, percentile
from tests.e2e.system import CODE, ROOT, STRATEGIES, SYMBOLS, System

HOSTILE = ("mallory", "trudy", "eve")
HALT_EVERY = 10.0  # seconds
HALT_WITHIN = 0.3  # seconds until a halt has committed
PICK_WITHIN = 1.0  # seconds until an honest strategy's pick is answered
SLOWER = 2.0  # the largest factor by which the p99 of the stops may grow
ADD = "select add_strategy(%s, 'workers.strategies.momentum:Momentum', 'demo', %s, 1000000, 100000, 'tight')"


@dataclass
class Result:
    """The results of a campaign."""

    seconds: float
    quiet: Figures
    attacked: Figures
    halts: list[float]
    outcomes: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        return [
            f"{sum(self.outcomes.values()):,} attacks by {len(HOSTILE)} logins in {self.seconds:.0f} s",
            *(f"{count:7,}  {name}" for name, count in sorted(self.outcomes.items())),
            _line("stop reached to order stored", self.quiet.stops, self.attacked.stops),
            _line("pick of an honest strategy to its answer", self.quiet.picks, self.attacked.picks),
            _line("halt, call to commit", [], self.halts),
        ]

    def misses(self) -> list[str]:
        """The bounds that were exceeded."""
        missed = []
        before, after = percentile(self.quiet.stops, 0.99), percentile(self.attacked.stops, 0.99)
        if not after <= before * SLOWER:
            missed.append(
                f"stops: p99 {after * 1000:.1f} ms, {SLOWER:.0f} x {before * 1000:.1f} ms is allowed"
            )
        if self.halts and max(self.halts) > HALT_WITHIN:
            missed.append(f"halt: {max(self.halts) * 1000:.0f} ms, {HALT_WITHIN * 1000:.0f} ms is allowed")
        if self.attacked.picks and self.attacked.picks[-1] > PICK_WITHIN:
            missed.append(
                f"picks: one waited {self.attacked.picks[-1]:.2f} s, {PICK_WITHIN:.0f} s is allowed"
            )
        return missed


def campaign(system: System, quiet: float, seconds: float, seed: int, say: Callable[[str], None]) -> Result:
    """Run it on a system not yet started; raise AssertionError with the details if a law is broken."""
    for name in HOSTILE:
        system.admin.execute("set search_path = api")
        system.admin.execute(ADD, [name, SYMBOLS[:2]])
        system.cluster.database(system.name).ensure_strategy_login(name)
    system.start(f"sim:{seed}")
    observer = Observer(system, list(STRATEGIES))
    system.wait_for_fills(3, within=60)
    say(f"trading; {quiet:.0f} s without an attack")
    quiet_from = observer.now()
    _halt_now_and_then(system, observer, quiet)
    quiet_until = observer.now()
    say(f"{seconds:.0f} s with {', '.join(HOSTILE)}")
    attackers = [_attacker(system, name, seed + n, seconds) for n, name in enumerate(HOSTILE)]
    halts = _halt_now_and_then(system, observer, seconds)
    until = observer.now()
    outcomes: Counter[str] = Counter()
    for attacker in attackers:
        output, _ = attacker.communicate(timeout=60)
        assert attacker.returncode == 0, "an attacker itself broke"
        outcomes.update(json.loads(output))
    system.wait_until(
        lambda: not observer.overdue_picks(), within=30, what="every honest pick to be answered"
    )
    system.wait_for_fills(2, within=60)
    system.verify(within=60)
    figures = observer.figures(quiet_from, quiet_until), observer.figures(quiet_until, until)
    return Result(seconds, *figures, halts, outcomes)


def _halt_now_and_then(system: System, observer: Observer, seconds: float) -> list[float]:
    """Halt and resume for this many seconds; return how many seconds each halt took, sorted."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(HALT_EVERY, left))
        with system.desk() as desk:
            halted = observer.now()
            began = time.monotonic()
            desk.execute("select halt('a drill')")
            took.append(time.monotonic() - began)
            _resume(desk)
            observer.halts.append((halted, observer.now()))
    return sorted(took)


def _resume(desk: psycopg.Connection) -> None:  # type: ignore[type-arg]
    answer = desk.execute("select resumed, message from resume('the drill is over', %s)", [CODE]).fetchone()
    assert answer is not None
    assert answer[0], answer[1]


def _attacker(system: System, name: str, seed: int, seconds: float) -> subprocess.Popen[str]:
    path = {key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ}
    env = path | system.cluster.database(system.name).worker_env(f"aegis_s_{name}")
    return subprocess.Popen(
        [sys.executable, "-m", "tests.attack.attacks", str(seed), str(seconds)],
        env=env | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(what: str, before: list[float], after: list[float]) -> str:
    def shown(values: list[float]) -> str:
        p50, p99, most = percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)
        return f"p50 {p50 * 1000:7.1f}  p99 {p99 * 1000:7.1f}  most {most * 1000:7.1f} ms of {len(values)}"

    quiet = f"quiet {shown(before)};  " if before else ""
    return f"{what}: {quiet}attacked {shown(after)}"
