"""The kill switch (L1), used while the system trades."""

import os
import subprocess
import time
from collections.abc import Callable
from datetime import datetime

import psycopg
import pytest

from tests.e2e.system import CODE, System

REFUSED = "select count(*) >= 3 from api.refusals where code = 'TRM01' and at > %s"
FORBIDDEN = """
select 'intent', e.entity_id, e.at
from bus.events as e
where e.entity = 'intent' and e.change = 'NEW' and e.at > %(since)s
  and (e.data ->> 'side' = 'BUY' or %(mode)s = 'HALT' and e.data ->> 'approved_by' is null)
  and not exists (
      -- A waiting sell that somebody takes back from a claim is not a new one.
      select from bus.events as before
      where before.entity = 'intent' and before.entity_id = e.entity_id and before.event_id < e.event_id
  )
union all
select 'order', o.order_id, o.created_at
from trade.orders as o
join trade.order_intents as i on i.intent_id = o.intent_id
where o.created_at > %(since)s and (o.side = 'BUY' or %(mode)s = 'HALT' and i.approved_by is null)
union all
select 'late send', p.paper_order_id, p.accepted_at
from paper.orders as p
join trade.orders as o on o.client_order_id = p.client_order_id
where p.accepted_at > %(since)s and p.accepted_at > o.send_before
"""


def call(system: System) -> None:
    with system.desk() as desk:
        desk.execute("select halt('by the function')")


def update(system: System) -> None:
    database = system.cluster.database(system.name)
    secret = (database.settings.secrets_dir / "aegis_desk").read_text().strip()
    done = subprocess.run(
        [
            database.program("psql"),
            database.url(),
            "--no-psqlrc",
            "--command=update system_mode set mode = 'HALT', reason = 'by psql'",
        ],
        env=os.environ | {"PGPASSWORD": secret},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "UPDATE 1"), done.stderr


def halted_at(system: System) -> datetime:
    (mode, since) = system.rows("select mode, changed_at from api.system_mode")[0]
    assert mode == "HALT"
    assert isinstance(since, datetime)
    return since


def look_for_forbidden(system: System, since: datetime, mode: str) -> None:
    found = system.admin.execute(FORBIDDEN.encode(), {"since": since, "mode": mode}).fetchall()
    assert found == []


@pytest.mark.parametrize("halt", [call, update])
def test_after_a_halt_nothing_forbidden_begins(trading: System, halt: Callable[[System], None]) -> None:
    began = time.monotonic()
    halt(trading)
    took = time.monotonic() - began

    since = halted_at(trading)
    trading.wait_for(REFUSED, [since], what="strategies to try and be refused")
    trading.wait_for("select count(*) = 0 from trade.order_intents where side = 'BUY' and closed_at is null")
    look_for_forbidden(trading, since, "HALT")
    assert took < 1.0

    resume(trading)


def test_an_idle_transaction_that_holds_the_gate_delays_no_halt(trading: System) -> None:
    idle = trading.desk()
    idle.autocommit = False
    row = idle.execute("select create_intent('demo', '005930', 'BUY', 1, null, 'left open')").fetchone()
    assert row is not None

    began = time.monotonic()
    call(trading)
    took = time.monotonic() - began

    since = halted_at(trading)
    assert took < 1.0
    with pytest.raises(psycopg.OperationalError):
        idle.commit()
    assert trading.rows("select from trade.order_intents where intent_id = %s", [row[0]]) == []
    trading.wait_for(REFUSED, [since], what="strategies to try and be refused")
    look_for_forbidden(trading, since, "HALT")


def test_in_safe_mode_buys_stop_and_stops_and_targets_go_on(trading: System) -> None:
    held = "select count(*) >= 2 from trade.positions where qty > 0 and locked_qty = 0"
    trading.wait_for(held, what="two positions")
    with trading.desk() as desk:
        row = desk.execute("select safe('nervous')").fetchone()
    assert row is not None

    trading.wait_for(
        """
        select count(*) >= 1
        from api.fills as f
        join trade.order_intents as i on i.intent_id = f.intent_id
        where f.side = 'SELL' and i.intent_type = 'EXIT' and i.created_at > %s
        """,
        row,
        within=40,
        what="a protective exit",
    )
    trading.wait_for(REFUSED, row, what="strategies to try and be refused")
    look_for_forbidden(trading, row[0], "SAFE")


def test_a_halt_survives_a_restart_of_everything(trading: System) -> None:
    with trading.desk() as desk:
        desk.execute("select halt('before the restart')")
    since = halted_at(trading)
    trading.stop()
    trading.cluster.server.stop()

    trading.cluster.start()
    trading.start()

    assert halted_at(trading) == since
    restarted = trading.value("select started_at from bus.instance")
    trading.wait_for(REFUSED, [restarted], what="strategies to try and be refused")
    look_for_forbidden(trading, since, "HALT")
    resume(trading)


def resume(system: System) -> None:
    """Resume as a person does: a wrong code is refused, the right one accepted, and trading continues."""
    with system.desk() as desk:
        assert desk.execute("select resumed from resume('try', 'wrong')").fetchone() == (False,)
        assert desk.execute("select resumed from resume('seen', %s)", [CODE]).fetchone() == (True,)
    system.wait_for_fills(1)
