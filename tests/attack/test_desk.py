"""Attacks by somebody who has the password of the desk's login.

They guess the override code that ends HALT, try to get it into a log, and approve a stop at an old price.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.system import CODE, System

GUESSES = (
    "select resumed from resume('again', %s)",
    "select changed from set_override_code('mine-from-now-on', %s)",
    "update system_mode set mode = 'NORMAL', reason = 'again', code = %s returning mode = 'NORMAL'",
)
UNLOCK = "select setval('risk.override_locked_until', 0), setval('risk.override_tries', 0)"
WAITING = "select intent_id from api.approvals order by 1"
DECIDED = """
select i.worst_price <= q.bid, i.worst_price > q.bid * 0.9, i.expires_at - i.approved_at = interval '10 s'
from trade.order_intents as i
join market.prices_best as q on q.instrument_id = i.instrument_id
where i.intent_id = %s
"""
DUE = """
update trade.position_exits as e
set stop_price = q.bid * 1.05
from market.prices_best as q
where q.instrument_id = e.instrument_id and e.is_armed
"""
HELD = """
select exists (
    select
    from trade.position_exits as e
    join trade.positions as p using (account_id, instrument_id, owner)
    where e.is_armed and p.qty > p.locked_qty
)
"""
SALES = """
select
from trade.order_intents as i
where i.side = 'SELL' and i.closed_at is null and i.status <> 'PENDING_APPROVAL'
"""


@pytest.fixture
def halted(trading: System) -> Iterator[System]:
    """A trading system, halted while it holds a position.

    Afterwards the override code is unlocked, which only a superuser can do.
    """
    with trading.desk() as desk:
        while True:
            trading.wait_for(HELD, what="a position to protect", within=60)
            desk.execute("select halt('an attack')")
            trading.wait_for(f"select not exists ({SALES})", what="the sales on their way to end")
            if trading.value(HELD) or trading.value(f"select exists ({WAITING})"):
                break
            desk.execute("select resumed from resume('nothing is left to protect', %s)", [CODE])
    yield trading
    trading.admin.execute(UNLOCK)


def guess(system: System, stop: threading.Event, right: list[str]) -> None:
    """Guess codes as somebody does who knows that a rollback undoes what a transaction wrote."""
    number = 0
    with system.desk() as conn:
        conn.autocommit = False
        while not stop.is_set():
            number += 1
            code = f"tulip-{number:04}"
            row = conn.execute(GUESSES[number % 3].encode(), [code]).fetchone()
            if row and row[0]:
                right.append(code)
            conn.rollback()


def test_guessing_and_rolling_back_is_counted_recorded_and_delays_no_halt(halted: System) -> None:
    before = halted.value("select tries from api.override_code")
    stop, right = threading.Event(), list[str]()
    guessers = [threading.Thread(target=guess, args=(halted, stop, right)) for _ in range(4)]
    for guesser in guessers:
        guesser.start()

    took = []
    try:
        with halted.desk() as desk:
            for number in range(5):
                began = time.monotonic()
                desk.execute("select halt(%s)", [f"halt {number}"])
                took.append(time.monotonic() - began)
        halted.wait_for(
            "select count(*) = 5 from api.override_attempts"
            " where outcome = 'ROLLED_BACK' and attempt_id > %s",
            [before],
            what="the scheduler to record what was rolled back",
        )
    finally:
        stop.set()
        for guesser in guessers:
            guesser.join()

    assert right == []
    assert max(took) < 0.3
    assert halted.value("select tries from api.override_code") == before + 5
    assert halted.value("select count(*) from api.incidents where kind = 'code_guessing'") == 1
    assert halted.value("select mode from api.system_mode") == "HALT"
    with halted.desk() as desk:
        assert desk.execute("select resumed from resume('locked for me too', %s)", [CODE]).fetchone() == (
            False,
        )


def test_no_code_reaches_the_log_of_the_server_or_of_a_command(halted: System) -> None:
    log = halted.cluster.place / "server" / "server.log"
    start = log.stat().st_size

    for query in (
        "select resume('', 'SECRET77')",
        "select resume('why', SECRET77)",
        "select set_override_code('SECRET7')",
        "select set_override_code('SECRET77SECRET77', 'SECRET77'), 1 / 0",
        "update system_mode set mode = 'NORMAL', reason = '', code = 'SECRET77'",
    ):
        with contextlib.suppress(psycopg.Error), halted.desk() as desk:
            desk.execute(query.encode())
    said = halted.aegis("resume", "why", code="SECRET77\n")

    assert said.returncode == 1
    assert "SECRET7" not in said.stdout + said.stderr
    assert "SECRET7" not in log.read_bytes()[start:].decode().upper()
    assert halted.value("select count(*) from bus.events where data::text ilike '%SECRET7%'") == 0


def test_a_stop_approved_in_a_halt_goes_out_at_todays_price(halted: System) -> None:
    """Every stop is moved above its bid; the simulated market moves, so the price of the sale is soon old."""
    halted.admin.execute(DUE)
    halted.wait_for(f"select exists ({WAITING})", what="a stop to wait for approval", within=60)
    waiting = halted.value(WAITING)

    with halted.desk() as desk:
        desk.execute("select approve(%s, 'get out')", [waiting])

    assert halted.rows(DECIDED, [waiting]) == [(True, True, True)]
    halted.wait_for(
        "select closed_at is not null from trade.order_intents where intent_id = %s", [waiting], within=40
    )


def test_a_strategy_trades_nothing_by_naming_nothing(
    trading: System, hostile: psycopg.Connection[tuple[object]]
) -> None:
    with pytest.raises(psycopg.Error) as refused:
        hostile.execute("select propose(null, 'BUY')")

    assert refused.value.sqlstate == "TRI04"
