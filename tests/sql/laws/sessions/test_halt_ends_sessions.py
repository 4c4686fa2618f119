"""L11: a halt ends or names every session that holds what it needs."""

import datetime as dt

import psycopg
import pytest

from tests.sql.laws.sessions.sessions_kit import is_ended, left_open
from workers.runtime.errors import NotAllowed

IN_THE_WAY = {
    "the row of the mode": "select 1 from risk.system_mode for update",
    "the row of a scoped mode": "select 1 from risk.scoped_modes for update",
    "the gate, shared": "lock table risk.gate in share mode",
    "the gate, for itself": "lock table risk.gate in access exclusive mode",
    "the history of modes": "lock table risk.mode_history in share mode",
    "the events": "lock table bus.events in access exclusive mode",
    "a partition": "lock table bus.events_from_0 in share row exclusive mode",
    "another halt": "select halt('left open')",
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_a_halt_ends_whoever_holds_what_it_needs(kit, what):
    kit.db.execute(
        "grant usage on schema risk, bus to aegis_desk;"
        "grant all on all tables in schema risk, bus to aegis_desk;"
        "insert into risk.scoped_modes (scope, name, mode, reason) values ('account', 'demo', 'NORMAL', 'x')"
    )
    holder = left_open(kit, "desk", IN_THE_WAY[what])
    began = dt.datetime.now(dt.UTC)

    if what == "the row of a scoped mode":
        kit.call(kit.db, "select risk.change_mode('account', 'demo', 'HALT', 'test', '{}')")
    else:
        kit.call("desk", "select halt('test')")

    assert dt.datetime.now(dt.UTC) - began < dt.timedelta(seconds=1)
    assert is_ended(kit, holder)
    (event,) = kit.events("session")
    assert event.entity_id == holder.pid


def test_a_halt_passes_a_queue_for_the_events(kit):
    """A superuser waits to alter bus.events: all others queue behind that session, and it cannot be ended."""
    kit.add_strategy()
    holder = left_open(kit, "aegis_s_momo", "select log_error(null, 'XX000', 'left open', '{}')")
    admin = kit.connect("superuser")
    waiting = kit.background(admin, "alter table bus.events alter column cause set default ''")
    kit.wait_for_lock(admin)

    kit.call("desk", "select halt('test')")

    assert is_ended(kit, holder)
    with pytest.raises(psycopg.ProgrammingError):  # the ALTER succeeded: it has no rows to fetch
        waiting.result(20)


def test_two_halts_at_once_both_succeed(kit):
    kit.db.execute("grant usage on schema risk to aegis_desk; grant all on risk.system_mode to aegis_desk")
    left_open(kit, "desk", "select 1 from risk.system_mode for update")
    desks = [kit.connect("desk") for _ in range(2)]

    halts = [kit.background(desk, "select halt('at once')") for desk in desks]

    assert [len(halt.result(20)) for halt in halts] == [1, 1]


def test_who_cannot_be_ended_is_named_by_the_halt(kit):
    kit.db.execute("alter function risk.change_mode(text, text, text, text, jsonb) set lock_timeout = '10ms'")
    holder = left_open(kit, "superuser", "select 1 from risk.system_mode for update")

    with pytest.raises(NotAllowed, match=f"session {holder.pid} of .*, idle in transaction since"):
        kit.call("desk", "select halt('test')")
