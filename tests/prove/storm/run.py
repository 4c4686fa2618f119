"""Run a storm, and count what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.prove.place import ACCOUNTS, Connect, Connection, Place
from tests.prove.storm import engines, execution, people
from tests.prove.storm.client import Client
from tests.prove.storm.weather import Weather

ROLES = (
    "desk", "desk", "feed", "strategy", "router", "router", "exits", "exits", "risk", "risk",
    "execution", "execution", "execution", "execution", "reconcile", "reconcile",
)  # fmt: skip
Action = Callable[[Client], None]

# What each role may do; what is listed twice is done twice as often.
OFTEN: list[Action] = [execution.claim, execution.answer, execution.fill]
SELDOM: list[Action] = [
    execution.amend, execution.cancels, execution.doubts, execution.report_again, execution.bust,
]  # fmt: skip
ACTIONS: dict[str, list[Action]] = {
    "desk": [
        people.buy, people.buy, people.sell, people.sell, people.sell_for_strategy, people.cancel,
        people.money, people.decide, people.mode,
    ],
    "feed": [engines.quote],
    "strategy": [engines.propose],
    "router": [engines.route],
    "exits": [engines.fire],
    "risk": [engines.enforce, engines.expire, engines.jobs, engines.due],
    "execution": [*OFTEN, *OFTEN, execution.answer, execution.fill, *SELDOM],
    "reconcile": [execution.reconcile],
}  # fmt: skip
DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


def storm(connect: Connect, seconds: float, clients: int = 16, seed: str = "0") -> Weather:
    """Run the clients, then count deadlocks, violations and fills."""
    place = Place(connect)
    weather = Weather()
    for account in ACCOUNTS:
        place.ask("desk", "select record_cash(%s, 'deposit', 100000000, 'storm')", account)
    db = place.db
    db.execute(f"alter database {db.info.dbname} set deadlock_timeout = '20ms'".encode())
    db.execute("update trade.brokers set answer_timeout = '500 ms', lease = '100 ms'")
    before = _number(db, DEADLOCKS)
    # The clients use real time, so begin the run and reconcile again: virtual times may be in the past.
    with connect("aegis_w_supervisor") as supervisor:
        supervisor.execute("select begin_run()")
    db.execute(
        "update trade.accounts set reconciled_at = clock_timestamp(),"
        " reconciled_run = (select run_number from bus.instance)"
    )
    lock, until = threading.Lock(), time.monotonic() + seconds
    roles = [ROLES[n % len(ROLES)] for n in range(clients)]
    crowd = [Client(connect, role, ACTIONS[role], f"{seed}-{n}", weather) for n, role in enumerate(roles)]
    threads = [threading.Thread(target=client.run, args=(until, lock)) for client in crowd]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    weather.seconds = time.monotonic() - began
    db.execute("select pg_stat_force_next_flush()")
    weather.deadlocks = _number(db, DEADLOCKS) - before
    weather.audit = db.execute("select * from api.law_audit").fetchall()
    weather.fills = _number(db, "select count(*) from trade.fills")
    place.close()
    return weather


def _number(db: Connection, query: str) -> int:
    row = db.execute(query.encode()).fetchone()
    assert row
    return int(row[0])
