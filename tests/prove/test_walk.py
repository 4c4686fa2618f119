"""The laws hold on every random walk over `api`: five thousand steps, each compared with a model in Python.

To walk a million steps, or to repeat a failed walk, see tests/prove/__main__.py.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.prove import drive
from tests.prove.place import Place
from tests.prove.walk.steps import STEPS, begin, take
from tests.prove.walk.walker import Violation

T = TypeVar("T")

SUITE = 5_000
BY_HYPOTHESIS = settings(
    max_examples=30,
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,  # a failure of the suite must be repeatable; the command takes other seeds
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class Drawn:
    """Choices that Hypothesis makes and can shrink after a failure."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def number(self, low: int, high: int) -> int:
        return int(self._data.draw(st.integers(low, high)))

    def one_of(self, options: Sequence[T]) -> T:
        return self._data.draw(st.sampled_from(list(options)))


class Machine(RuleBasedStateMachine):
    """The steps of a walk as rules, each followed by the check."""

    place: Place
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.walk = begin(self.place)


def _rule(name: str) -> Callable[..., None]:
    def step(machine: Machine, data: st.DataObject) -> None:
        machine.walk.choices = Drawn(data)
        take(machine.walk, name)
        Machine.steps += 1

    step.__name__ = name
    return rule(data=st.data())(step)


Rules = type("Rules", (Machine,), {name: _rule(name) for name in STEPS})


@pytest.fixture
def walked(place: Place) -> Place:
    """The database of the walks, used by Hypothesis too."""
    Machine.place = place
    return place


def test_five_thousand_steps_break_no_law(walked: Place) -> None:
    try:
        run_state_machine_as_test(Rules, settings=BY_HYPOTHESIS)
    except BaseException as error:
        error.add_note(walked.as_script())
        raise
    assert Machine.steps > 500

    figures = drive.walk(walked, SUITE - Machine.steps, seed="suite.5")

    assert Machine.steps + figures.steps >= SUITE
    assert set(figures.kinds) == set(STEPS)
    assert {name for name in WANTED if not figures.reached[name]} == set()


# Cases that a walk must reach; otherwise it proves little.
WANTED = (
    "AGREES", "CORRECTED", "DIFFERS", "amend", "amend first", "attempt 2", "breach", "buy shed",
    "child in its parent's place", "child refused", "fill before the answer", "fill of a closed order",
    "fill of a pending child", "fill of a waiting intent", "fills first", "orphan", "sell shed",
    "sold more than known", "restated at another price", "restated with a fee in kind",
    "stray", "stray child", "stray gone", "lost", "corrected after a bust",
)  # fmt: skip


DAMAGE: dict[str, tuple[str, Any]] = {
    "a fill that moves no cash": (
        "create or replace trigger _100_lose before insert on trade.cash_entries for each row"
        " when (new.kind = 'fill') execute function bus.prove_lose()",
        "drop trigger _100_lose on trade.cash_entries",
    ),
    "a position that moves by itself": (
        "create or replace trigger _050_gain before update on trade.positions for each row"
        " when (new.qty > old.qty) execute function bus.prove_gain()",
        "drop trigger _050_gain on trade.positions",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_walk_notices(walked: Place, damage: str) -> None:
    """The check can fail: it detects a broken database within 2,000 steps."""
    broken, mended = DAMAGE[damage]
    walked.db.execute(
        "create or replace function bus.prove_lose() returns trigger language plpgsql as"
        " $$ begin return null; end $$;"
        "create or replace function bus.prove_gain() returns trigger language plpgsql as"
        " $$ begin new.qty := new.qty + 1; return new; end $$"
    )
    walked.db.execute(broken.encode())
    try:
        with pytest.raises(drive.Failed) as failed:
            drive.walk(walked, 2000, seed="damage")
    finally:
        walked.db.execute(mended.encode())

    assert isinstance(failed.value.__cause__, Violation)
