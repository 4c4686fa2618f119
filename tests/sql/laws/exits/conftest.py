"""A position with a stop and a target."""

import pytest


@pytest.fixture
def held(kit):
    """Ten shares of a strategy, bought at 70,000; profile swing has its stop at -3 % and target at +6 %."""
    kit.add_strategy()
    return kit.hold(10, owner="momo")
