"""A restored backup that is older than the broker's state: no order is sent twice, no fill is missed.

The paper broker keeps its books in the restored database itself.  To act as a broker that lost nothing, the
test copies the newer books into the restored database.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cli.launcher import scratch
from tests.e2e.system import CODE, LOGINS, Cluster, System

INTENT = "select create_intent('demo', %s, %s, %s, %s, 'by hand', 'manual', 'MANUAL', null, '1 hour')"
FILLED = "select status = 'FILLED' from trade.order_intents where intent_id = %s"
RESTING = "select order_id from trade.orders where intent_id = %s and status = 'SUBMITTED'"
BROKER_FILLS = """
with filled as (
    insert into paper.fills (paper_order_id, account, quantity, price, fee, tax)
    select o.paper_order_id, o.account, %s, o.limit_price, 0, 0
    from paper.orders as o
    join trade.orders as t on t.client_order_id = o.client_order_id
    where t.intent_id = %s
    returning paper_order_id, quantity
)
update paper.orders as o
set filled_qty = o.filled_qty + f.quantity
from filled as f
where o.paper_order_id = f.paper_order_id
"""
BOOKS = ("paper.orders", "paper.fills")
COUNTERS = "select nextval(pg_get_serial_sequence(%s, %s))"

KNOWN_FILLS_MISSED = """
select f.paper_fill_id
from paper.fills as f
join paper.orders as o on o.paper_order_id = f.paper_order_id
join trade.orders as t on t.client_order_id = o.client_order_id
where not exists (select from trade.fills as x where x.broker_fill_id = f.paper_fill_id::text)
"""
UNKNOWN_FILLS = """
select concat_ws('/', 'demo', o.client_order_id, f.paper_fill_id)
from paper.fills as f
join paper.orders as o on o.paper_order_id = f.paper_order_id
where not exists (select from trade.orders as t where t.client_order_id = o.client_order_id)
"""
DIFFERENCES = """
select d.*
from trade.accounts as a
cross join trade.holdings_differences(a.account_id, api.paper_snapshot(a.account)) as d
"""
IN_FLIGHT = "select count(*) from trade.orders where closed_at is null"
LAWS = "select law, violation from api.law_audit"


@pytest.fixture
def own() -> Iterator[System]:
    """A system on its own server, whose data the test may replace."""
    with scratch() as place:
        cluster = Cluster(place)
        system = System(cluster)
        try:
            yield system
        finally:
            system.close()
            cluster.server.stop("immediate")


@dataclass
class Books:
    """The broker's state: its orders, its fills and the values of their sequences."""

    rows: dict[str, bytes]
    counters: dict[str, int]

    @classmethod
    def of(cls, system: System) -> "Books":
        rows, counters = {}, {}
        for table in BOOKS:
            with system.admin.cursor() as cursor, cursor.copy(f"copy {table} to stdout".encode()) as copy:
                rows[table] = b"".join(bytes(part) for part in copy)
            counters[table] = system.value(COUNTERS, [table, number(table)])
        return cls(rows, counters)

    def carry_into(self, system: System) -> None:
        system.admin.execute("truncate paper.fills, paper.orders")
        for table in BOOKS:
            with system.admin.cursor() as cursor, cursor.copy(f"copy {table} from stdin".encode()) as copy:
                copy.write(self.rows[table])
            system.value(
                "select setval(pg_get_serial_sequence(%s, %s), %s)",
                [table, number(table), self.counters[table]],
            )


def number(table: str) -> str:
    return {"paper.orders": "paper_order_id", "paper.fills": "paper_fill_id"}[table]


def decide(system: System, side: str, symbol: str, quantity: int, limit: int | None = None) -> int:
    """Create an intent by hand; return its id."""
    with system.desk() as desk:
        found = desk.execute(INTENT, [symbol, side, quantity, limit]).fetchone()
    assert found is not None
    return int(found[0])


def trade(system: System, side: str, symbol: str, quantity: int) -> None:
    """Buy or sell at the market and wait for the fill."""
    system.wait_for(FILLED, [decide(system, side, symbol, quantity)])


def rest(system: System, symbol: str, quantity: int) -> int:
    """Place a buy far below the market, wait until it rests at the broker, and return its intent."""
    bid = system.value("select bid from api.prices where symbol = %s", [symbol])
    intent = decide(system, "BUY", symbol, quantity, int(bid * 8 // 10) // 1000 * 1000)
    system.wait_for(RESTING, [intent])
    return intent


def run_supervisor(system: System) -> None:
    """Start the supervisor and wait for every worker, but not for the account's reconciliation."""
    system.supervisor = system.spawn("supervisor", "sim")
    system.wait_for(
        "select count(*) = %s from api.workers where is_alive and login = any(%s)",
        [len(LOGINS), list(LOGINS)],
        what="every worker to live",
    )


def restore(system: System, backup: str) -> None:
    system.admin.close()
    system.cluster.server.stop()
    done = system.aegis("restore", backup)
    assert done.returncode == 0, done.stderr
    assert "data.before-restore-" in done.stdout
    system.cluster.start()


def test_a_restored_backup_meets_a_broker_that_moved_on(own: System) -> None:
    own.start()
    own.wait_for_fills(2)
    trade(own, "BUY", "035420", 7)
    filled_later, untouched = rest(own, "005930", 10), rest(own, "000660", 5)
    done = own.aegis("backup", "--json")
    assert done.returncode == 0, done.stderr
    (backup,) = (own.cluster.place / "backups").iterdir()

    # After the backup: a fill of an order that is in it, and orders that are not.
    own.admin.execute(BROKER_FILLS.encode(), [4, filled_later])
    own.wait_for("select filled_qty = 4 from trade.order_intents where intent_id = %s", [filled_later])
    trade(own, "SELL", "035420", 3)
    trade(own, "BUY", "005380", 40)
    own.wait_for_fills(3)
    own.stop()
    epoch = own.value("select epoch from bus.instance")
    books = Books.of(own)
    restore(own, str(backup))
    books.carry_into(own)
    heard = set(own.rows("select client_order_id from paper.orders"))
    unknown = {subject for (subject,) in own.rows(UNKNOWN_FILLS)}
    assert unknown, "or the broker has not moved on"

    # The restored system is halted and only reads from the broker.
    assert "is foreign       yes" in own.aegis("status").stdout
    run_supervisor(own)
    own.wait_for("select not exists (select from (" + KNOWN_FILLS_MISSED + ") as missed)")
    own.wait_for(
        "select array_agg(subject) @> %s from api.incidents where kind = 'unmatched_fill'", [list(unknown)]
    )
    own.wait_for(
        "select count(*) >= 2 from trade.orders where cancel_requested_at is not null and closed_at is null"
    )
    assert own.value("select mode from api.system_mode") == "HALT"
    assert own.value("select count(*) from api.incidents where kind = 'foreign_database'") == 1
    assert own.aegis("resume", "too early", code=CODE).returncode == 1
    assert set(own.rows("select client_order_id from paper.orders")) == heard
    assert own.value("select count(*) from paper.orders where status = 'OPEN'") == 2, "no cancel is sent"

    assert own.aegis("adopt", "a guess", code="wrong").returncode == 1
    done = own.aegis("adopt", "the backup of the test", code=CODE)
    assert done.returncode == 0, done.stderr
    own.wait_for("select is_open from api.accounts", what="the account to be reconciled", within=40)

    # Recorded rows have removed every difference, and the broker has received only two cancels.
    assert own.rows(DIFFERENCES) == []
    assert own.value(IN_FLIGHT) == 0
    assert own.rows(KNOWN_FILLS_MISSED) == []
    assert own.rows("select status, filled_qty from trade.orders where intent_id = %s", [filled_later]) == [
        ("CANCELLED", 4)
    ]
    assert own.rows("select status, filled_qty from trade.orders where intent_id = %s", [untouched]) == [
        ("CANCELLED", 0)
    ]
    assert set(own.rows("select client_order_id from paper.orders")) == heard
    answers = [answer for (answer,) in own.rows("select answer from api.reconciliations order by run_id")]
    assert answers[-3:] == ["DIFFERS", "CORRECTED", "AGREES"]
    corrected = own.rows("select owner, reason from trade.reconciliations")
    assert ("manual", "the broker holds another quantity") in corrected
    assert own.value("select count(*) from trade.cash_entries where kind = 'correction'") == 1
    assert own.value("select count(*) from api.incidents where kind = 'disagreement'") == 1
    assert own.rows(LAWS) == []

    done = own.aegis("resume", "it is as it should be", code=CODE)
    assert done.returncode == 0, done.stderr
    own.wait_for_fills(1)
    own.stop()
    new = {order for (order,) in own.rows("select client_order_id from paper.orders")} - {o for (o,) in heard}
    assert new
    assert not {order for order in new if order.startswith(epoch)}, "nothing of the old epoch is sent again"
    assert own.rows(LAWS) == []
    assert own.aegis("audit", "verify").returncode == 0
    assert own.aegis("audit", "laws").returncode == 0
