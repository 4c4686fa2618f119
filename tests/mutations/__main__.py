"""`python -m tests.mutations`: run the tests once for each mutation that names them."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.mutations import MUTATIONS, Mutation


@dataclass(eq=False)  # pytest keeps its plugins in sets, so they must be hashable
class Runner:
    """A pytest plugin that runs each test once for each mutation that names it and keeps the outcomes."""

    wanted: Sequence[Mutation]
    outcomes: dict[Mutation, str] = field(default_factory=dict)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        mine = [m for m in self.wanted if m.function == metafunc.function.__name__]
        metafunc.parametrize("mutation", mine, indirect=True, ids=[m.removed for m in mine])

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self.outcomes.get(_mutation_of(item)) == "killed":
            pytest.skip("another case of the test has failed already")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        mutation = _mutation_of(item)
        if report.when == "call" and report.failed:
            self.outcomes[mutation] = "killed"
        elif report.when == "setup" and report.failed:
            self.outcomes.setdefault(mutation, "broken: " + str(report.longrepr).strip().splitlines()[-1])
        elif report.when == "call" and report.passed:
            self.outcomes.setdefault(mutation, "SURVIVED")
        return report


def _mutation_of(item: pytest.Item) -> Mutation:
    callspec = item.callspec  # type: ignore[attr-defined]
    found: Mutation = callspec.params["mutation"]
    return found


def run(wanted: Sequence[Mutation]) -> dict[Mutation, str]:
    """Run the tests; return the outcome of each mutation: killed, SURVIVED, broken or never run."""
    from tests.sql.laws import stations

    stations.PATIENCE = timedelta(seconds=2)  # most waits time out here, because the guard is missing
    runner = Runner(wanted)
    nodes = sorted({mutation.node for mutation in wanted})
    pytest.main(
        ["-q", "--no-header", "--no-summary", "--tb=no", "-p", "no:cacheprovider", *nodes], plugins=[runner]
    )
    return {mutation: runner.outcomes.get(mutation, "never run") for mutation in wanted}


def select(words: Iterable[str]) -> list[Mutation]:
    words = list(words)
    return [
        m
        for m in MUTATIONS
        if not words or any(word in (m.law, m.removed) or word in m.removed for word in words)
    ]


def main(words: Sequence[str]) -> int:
    outcomes = run(select(words))
    print(f"\n{'law':<4} {'removed':<78} {'noticed by':<100} outcome")
    for mutation, outcome in outcomes.items():
        print(f"{mutation.law:<4} {mutation.removed[:78]:<78} {mutation.function[:100]:<100} {outcome}")
    alive = [mutation for mutation, outcome in outcomes.items() if outcome != "killed"]
    print(f"\n{len(outcomes) - len(alive)} of {len(outcomes)} killed")
    return 1 if alive or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
