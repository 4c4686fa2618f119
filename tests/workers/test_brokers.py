"""Several accounts: a broker that fails or answers nonsense does not block the others."""

import datetime as dt
from decimal import Decimal

import pytest

from workers.brokers import Fill
from workers.brokers.paper import PaperBroker
from workers.execution import Execution
from workers.reconcile import Reconcile

NOW = dt.datetime(2026, 3, 2, 1, 0, tzinfo=dt.UTC)
BROKEN = "mine"  # the account whose broker fails; it comes first


@pytest.fixture
def desk(login):
    desk = login("aegis_desk")
    login("aegis_w_supervisor").execute("select begin_run()")
    for account in (BROKEN, "yours"):
        desk.execute("select add_account(%s, 'paper', 'SIM', 'KRW', p_deposit => 100)", [account])
    return desk


def breaks(monkeypatch, method, answer=None):
    """Make the paper broker fail, or return `answer`, on each call for the broken account."""
    whole = getattr(PaperBroker, method)

    async def asked(self, account, *args):
        if account != BROKEN:
            return await whole(self, account, *args)
        if answer is None:
            raise RuntimeError("the broker is broken")
        return answer

    monkeypatch.setattr(PaperBroker, method, asked)


async def test_an_account_is_compared_though_the_broker_of_another_fails(desk, connect, monkeypatch):
    breaks(monkeypatch, "snapshot")

    with pytest.raises(RuntimeError, match="broken"):
        await Reconcile(db=await connect("aegis_w_reconcile")).drain()

    rows = desk.execute("select account, is_open from accounts order by account").fetchall()
    assert rows == [(BROKEN, None), ("yours", True)]


async def test_a_snapshot_that_is_nonsense_is_reported_and_the_next_is_compared(
    desk, connect, monkeypatch, caplog
):
    breaks(monkeypatch, "snapshot", {"holdings": {"005930": "many"}})

    await Reconcile(db=await connect("aegis_w_reconcile")).drain()

    assert "account mine and its broker: UNREADABLE" in caplog.text
    assert desk.execute("select kind, subject from incidents").fetchall() == [("unreadable_snapshot", BROKEN)]
    rows = desk.execute("select account, is_open from accounts order by account").fetchall()
    assert rows == [(BROKEN, None), ("yours", True)]


async def test_fills_are_imported_though_the_broker_of_another_account_fails(desk, connect, monkeypatch):
    """All fields arrive: a fee not reported yet, and a fee in kind; here for an unknown order."""
    fill = Fill("F", "B", None, Decimal(4), Decimal(70), None, Decimal(1), NOW, "7", fee_qty=Decimal("0.5"))

    async def fills_since(self, account, cursor):
        if account == BROKEN:
            raise RuntimeError("the broker is broken")
        return [fill]

    monkeypatch.setattr(PaperBroker, "fills_since", fills_since)
    worker = Execution(db=await connect("aegis_w_execution"))
    await worker.start()

    with pytest.raises(RuntimeError, match="broken"):
        await worker._import_fills()

    kind, detail = desk.execute("select kind, detail from incidents").fetchone()
    assert kind == "unmatched_fill"
    assert (detail["quantity"], detail["fee"], detail["tax"], detail["fee_qty"]) == (4, None, 1, 0.5)
