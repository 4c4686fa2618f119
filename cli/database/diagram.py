"""Draw the path of an order, and the lifecycles of intents and orders.

The lifecycles are drawn from the transition rows that the database enforces, so the picture cannot be out of
date.  The path of an order is fixed by the design and is written here as text.
"""

from __future__ import annotations

from collections.abc import Iterable

BEGIN = "BEGIN"  # the "status" before a row exists
Move = tuple[str, str]

FLOW = """\
feed -> price_sync -> prices -quotes-> exits --------------------+
                          |                                      |
                          +--quotes-> strategies -> picks        |
                                                      | new_pick |
                                                      v          v
                                                    router -> intents
                                                                 | new_intent
                                                                 v
broker <------------------------ execution <----------------- orders
   |
   +-> fills -> positions, cash, exits armed -> events"""

FLOW_MERMAID = """\
flowchart LR
    feed --> price_sync --> prices[(prices)]
    prices -- quotes --> strategies --> picks[(picks)]
    prices -- quotes --> exits --> intents[(intents)]
    picks -- new_pick --> router --> intents
    intents -- new_intent --> execution --> orders[(orders)]
    execution --> broker([broker])
    broker --> fills[(fills)]
    fills --> positions[(positions, cash)]
    positions -- armed --> exits
    fills --> events[(events)]"""


def lifecycle_text(title: str, moves: Iterable[Move]) -> str:
    """One line per status with its possible next statuses; nearest to the start first, final ones last."""
    ways = _ways(moves)
    width = max(map(len, ways), default=0)
    lines = [f"{title} (begins as {', '.join(ways.pop(BEGIN, []))})"]
    for status, targets in sorted(ways.items(), key=lambda way: not way[1]):
        lines.append(f"  {status:<{width}}  {'-> ' + ', '.join(targets) if targets else 'end'}")
    return "\n".join(lines)


def lifecycle_mermaid(moves: Iterable[Move]) -> str:
    """A state diagram in Mermaid, which GitHub and many editors draw."""
    lines = ["stateDiagram-v2"]
    for status, targets in _ways(moves).items():
        shown = "[*]" if status == BEGIN else status
        lines += [f"    {shown} --> {target}" for target in targets or ["[*]"]]
    return "\n".join(lines)


def _ways(moves: Iterable[Move]) -> dict[str, list[str]]:
    """Each status with its possible next statuses, those nearest to the start first."""
    ways: dict[str, list[str]] = {}
    for start, end in sorted(moves):
        ways.setdefault(start, []).append(end)
    ordered: dict[str, list[str]] = {}
    waiting = [BEGIN]
    while waiting:
        status = waiting.pop(0)
        if status not in ordered:
            ordered[status] = ways.get(status, [])
            waiting += ordered[status]
    unreachable = {status: ways[status] for status in ways.keys() - ordered.keys()}
    return ordered | dict(sorted(unreachable.items()))
