"""One server for all tests of the whole system, one system at a time."""

from collections.abc import Iterator

import pytest

from tests.cli.launcher import scratch
from tests.e2e.system import CODE, LOGINS, Cluster, System


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with scratch() as place:
        cluster = Cluster(place)
        yield cluster
        cluster.server.stop("immediate")


@pytest.fixture
def system(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[System]:
    """A new system, not yet started; if the test passes, its books are verified."""
    system = System(cluster)
    try:
        yield from _verified(system, request)
    finally:
        system.close()


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[System]:
    """One system for the tests of a file that leave it trading, because starting all processes is slow."""
    system = System(cluster)
    yield system
    system.close()


@pytest.fixture
def trading(shared: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """A system that trades; if the test passes, its books are verified."""
    if not set(LOGINS) <= set(shared.pids()):
        shared.restart()
    if shared.value("select mode <> 'NORMAL' from risk.system_mode"):
        with shared.desk() as desk:
            desk.execute("select resume('the next test', %s)", [CODE])
    shared.wait_for_fills(1)
    yield from _verified(shared, request)


def _verified(system: System, request: pytest.FixtureRequest) -> Iterator[System]:
    failed = request.session.testsfailed
    yield system
    if request.session.testsfailed == failed:
        system.verify()
