"""A broker is one file and one row: this test adds both, trades through it, and touches nothing else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import workers.brokers
from tests.brokers import template
from tests.brokers.floor import Floor, Hire
from workers.brokers import Brokers, UnknownBrokerError
from workers.execution import Execution

ROW = "insert into trade.brokers (broker, is_real) values ('corner', false)"
LIMIT = "insert into bus.rate_limits (bucket, per_second, burst, tokens) values ('corner', 0.001, 1, 1)"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that belongs to the package of adapters for the length of the test."""
    monkeypatch.setattr(workers.brokers, "__path__", [*workers.brokers.__path__, str(tmp_path)])
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"workers.brokers.{path.stem}", None)
        vars(workers.brokers).pop(path.stem, None)


@pytest.fixture
def corner(package: Path) -> None:
    """The file."""
    shutil.copy(template.__file__, package / "corner.py")


async def test_a_broker_is_one_file_and_one_row(corner: None, floor: Floor, hire: Hire) -> None:
    floor.db.execute(ROW)
    await floor.open_account("mine", "corner")
    floor.desk.execute("select record_cash('mine', 'deposit', 1000000, 'to begin with')")
    execution = await hire(Execution)

    intent = floor.buy("mine", 10, 70_000)
    await execution.drain()
    (client_id, number), *others = floor.rows("select client_order_id, broker_order_id from api.orders")
    execution.brokers.of("corner").exchange.execute(client_id, Decimal(10))
    await execution.drain()

    assert (number, others) == ("1001", [])
    fills = floor.rows("select intent_id, broker_fill_id, quantity, price, fee from api.fills")
    assert fills == [(intent, "E1", 10, 70_000, Decimal("1.5"))]
    assert floor.rows("select account, symbol, qty from api.positions") == [("mine", "005930", 10)]
    assert floor.rows("select fills_cursor from trade.accounts") == [("1",)]
    assert floor.rows("select violation from api.law_audit") == []


async def test_its_rate_limit_is_a_row(corner: None, floor: Floor, hire: Hire) -> None:
    floor.db.execute(ROW)
    floor.db.execute(LIMIT)
    await floor.open_account("mine", "corner")
    floor.desk.execute("select record_cash('mine', 'deposit', 1000000, 'to begin with')")
    execution = await hire(Execution)

    for _ in range(2):
        floor.buy("mine", 1, 70_000)
    await execution.drain()
    await execution.drain()

    assert len(execution.brokers.of("corner").exchange.orders) == 1


def test_a_broker_without_a_file_is_named_with_those_that_have_one(corner: None) -> None:
    with pytest.raises(UnknownBrokerError, match="no adapter for broker kis") as refused:
        Brokers(None).of("kis")

    assert refused.value.hint == "The adapters are corner, paper."


@pytest.mark.parametrize("name", ["", "Paper", "paper ", "..paper", "os.path", "paper.AWAY", "__init__"])
def test_a_name_that_is_not_plain_is_never_imported(package: Path, name: str) -> None:
    (package / f"{name}.py").write_text("raise AssertionError('it was imported')")

    with pytest.raises(UnknownBrokerError):
        Brokers(None).of(name)


def test_a_file_that_names_no_adapter_is_refused(package: Path) -> None:
    (package / "empty.py").write_text("")

    with pytest.raises(UnknownBrokerError, match=r"workers\.brokers\.empty names no adapter"):
        Brokers(None).of("empty")


def test_what_an_adapter_cannot_import_is_said(package: Path) -> None:
    (package / "needy.py").write_text("import no_such_package")

    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        Brokers(None).of("needy")
