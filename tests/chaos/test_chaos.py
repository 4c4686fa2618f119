"""The short form of `python -m tests.chaos`."""

from collections.abc import Iterator

import pytest

from tests.chaos.campaign import campaign
from tests.cli.launcher import scratch
from tests.e2e.system import Cluster, System


@pytest.fixture
def system() -> Iterator[System]:
    with scratch() as place:
        cluster = Cluster(place)
        system = System(cluster)
        try:
            yield system
        finally:
            system.close()
            cluster.server.stop("immediate")


def test_two_rounds_of_chaos_break_no_law(system: System) -> None:
    figures = campaign(system, rounds=2, seed=3)

    assert sum(figures.blows.values()) >= 2
    assert figures.moves[2] > 0
