"""The short form of `python -m tests.attack`."""

from tests.attack.campaign import campaign
from tests.e2e.system import System


def test_hostile_strategies_break_no_law(system: System) -> None:
    result = campaign(system, quiet=2, seconds=8, seed=5, say=print)

    assert sum(result.outcomes.values()) > 10
    assert result.halts
