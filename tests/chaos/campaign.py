"""Rounds of faults in a trading system; after each it must trade again and all books must be correct."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from tests.chaos.blows import Blows
from tests.chaos.load import Load
from tests.e2e.system import LOGINS, System
from tests.workers.director import Director

BLOWS = (1, 4)  # least and most faults in a round
RATE = 50  # quotes a second: each makes several workers ask the director whether they may go on
PAUSE = (0.0, 0.7)  # seconds between two faults, chosen at random
MOVES = """
select (select count(*) from trade.order_intents),
       (select count(*) from trade.orders),
       (select count(*) from trade.fills),
       (select count(distinct entity_id) from bus.events where entity = 'order' and change = 'IN_DOUBT'),
       (select count(*) from trade.orders where closed_reason = 'the broker never had it'),
       (select count(*) from trade.orders where closed_reason = 'not sent in time')
"""


@dataclass
class Figures:
    """The figures of a campaign."""

    seed: int
    rounds: int = 0
    seconds: float = 0.0
    blows: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    moves: tuple[int, ...] = ()
    refused: int = 0
    cut_off: int = 0

    def lines(self) -> list[str]:
        """The figures as lines."""
        intents, orders, fills, doubted, never, late = self.moves
        return [
            f"{self.rounds} rounds in {self.seconds:.0f} s with seed {self.seed}, no law broken",
            *(f"{count:5}  {blow}" for blow, count in self.blows.most_common()),
            f"{intents} intents, {self.refused} decisions refused, {self.cut_off} cut off",
            f"{orders} orders, {doubted} of them in doubt: {never} had never reached the broker",
            f"{late} orders not sent because their time was over; {fills} fills",
            f"from the last blow to the next fill: {median(self.recoveries):.1f} s median, "
            f"{max(self.recoveries):.1f} s at most",
        ]


def campaign(system: System, rounds: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> Figures:
    """Run this many rounds; raise AssertionError with all details if something is wrong."""
    figures, chance, feed = Figures(seed), random.Random(seed), f"sim:{seed},rate={RATE}"
    began = time.monotonic()
    with Director() as director:
        system.start(feed, AEGIS_CHECKPOINTS=str(director.socket))
        blows, load = Blows(system, chance, director, feed), Load(system, seed)
        try:
            load.flow()
            system.wait_for_fills(3)
            for number in range(1, rounds + 1):
                outcome = _round(system, blows, load, figures)
                tell(f"round {number}: {outcome}")
        finally:
            load.end()
    figures.rounds, figures.seconds = rounds, time.monotonic() - began
    figures.moves = system.rows(MOVES)[0]
    figures.refused, figures.cut_off = load.refused, load.cut_off
    return figures


def _round(system: System, blows: Blows, load: Load, figures: Figures) -> str:
    """Cause faults, wait until the system trades again, and verify all books while nothing is in flight."""
    struck = _strike(blows)
    took = _recover(system)
    load.hold()
    system.verify(within=60)
    _nothing_promised_is_lost(system, load)
    load.flow()
    figures.blows.update(struck)
    figures.recoveries.append(took)
    return f"{', '.join(struck)}; trading again after {took:.1f} s"


def _strike(blows: Blows) -> list[str]:
    struck = []
    for _ in range(blows.random.randint(*BLOWS)):
        time.sleep(blows.random.uniform(*PAUSE))
        struck.append(blows.strike())
    return struck


def _recover(system: System) -> float:
    """Wait until all workers are back and trade; return how many seconds the first fill took."""
    began = time.monotonic()
    system.wait_for_fills(1, within=60)
    took = time.monotonic() - began
    system.wait_until(lambda: set(LOGINS) <= set(system.pids()), within=60, what="all workers to be back")
    system.wait_for_fills(2, within=60)
    return took


def _nothing_promised_is_lost(system: System, load: Load) -> None:
    lost = system.rows(
        "select p from unnest(%s::bigint[]) as p"
        " where not exists (select from trade.order_intents as i where i.intent_id = p)",
        [load.promised],
    )
    assert lost == [], f"intents that were promised and are gone: {lost}"
