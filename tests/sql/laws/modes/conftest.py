"""Fixtures of the tests of modes and codes."""

import pytest

from tests.sql.laws.modes.codes import RIGHT


@pytest.fixture
def patient_halt(db):
    """Let a halt wait 20 s for the gate before it ends sessions, for tests about who waits for whom."""
    db.execute("alter function risk.lock_gate_exclusive() set lock_timeout = '20s'")


@pytest.fixture
def halted(kit):
    """A halted market with a code set by an older version."""
    kit.set_code(RIGHT)
    kit.call("desk", "select halt('test')")
    return kit
