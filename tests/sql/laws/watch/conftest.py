"""Workers that send heartbeats."""

import pytest

from tests.sql.laws.market_kit import LOGINS
from tests.sql.laws.watch.watch_kit import BEAT


@pytest.fixture
def worker(kit):
    """Register a worker that holds its lock and sends a heartbeat: `worker("exits")` returns its id."""

    def register(station):
        number = kit.call(
            station, "select register_worker(%s, 1, 'here')", LOGINS[station].removeprefix("aegis_w_")
        )
        kit.call(station, "select hold_worker_lock(%s)", number)
        kit.call(station, BEAT, number)
        return number

    return register
