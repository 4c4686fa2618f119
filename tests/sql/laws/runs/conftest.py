"""The override code that every adoption needs."""

import pytest

from tests.sql.laws.runs.runs_kit import CODE


@pytest.fixture(autouse=True)
def code(kit):
    kit.call("desk", "select set_override_code(%s)", CODE)
