"""The kit in real time."""

import datetime as dt

import pytest

from tests.sql.laws.market_kit import OTHER, Kit


@pytest.fixture
def kit(kit: Kit) -> Kit:
    """The kit in real time, because session ages are real."""
    kit.now = dt.datetime.now(dt.UTC)
    kit.advance(seconds=0)
    kit.call("supervisor", "select begin_run()")
    kit.open_account()
    kit.quote(70_000, 70_100)
    kit.quote(70_000, 70_100, symbol=OTHER)
    kit.at("risk").execute("reset aegis.now")
    return kit
