"""One server for all tests of the whole system, one system at a time."""

from collections.abc import Iterator

import pytest

from tests.cli.launcher import scratch
from tests.e2e.system import Cluster, System


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with scratch() as place:
        cluster = Cluster(place)
        yield cluster
        cluster.server.stop("immediate")


@pytest.fixture
def system(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[System]:
    """A system that is not started yet; when the test has passed its books are verified."""
    system = System(cluster)
    failed = request.session.testsfailed
    try:
        yield system
        if request.session.testsfailed == failed:
            system.verify()
    finally:
        system.close()
