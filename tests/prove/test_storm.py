"""Sixteen clients of all roles at once: no deadlock, no broken law, no unexpected error.

To run it for a minute: python -m tests.prove storm --seconds 60
"""

from tests.prove.place import Connect
from tests.prove.storm.run import storm


def test_a_storm_meets_no_deadlock_and_breaks_no_law(connect: Connect) -> None:
    weather = storm(connect, seconds=8)

    assert weather.is_clean, str(weather)
    assert weather.fills > 20, str(weather)
    assert {"route", "fire", "claim", "fill", "reconcile", "mode", "amend", "cancels"} <= set(weather.calls)
