"""Attacks run against the whole system: real logins, the supervisor and its workers, as in tests/e2e."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import cluster, shared, system, trading  # noqa: F401 (fixtures)
from tests.e2e.system import Connection, System

HOSTILE = "aegis_s_momentum"


@pytest.fixture
def hostile(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A session of the weakest login, a strategy's, in the database of `trading`."""
    running: System = request.getfixturevalue("trading")
    with running.login(HOSTILE) as conn:
        yield conn
