"""The history of a restored database goes on in order on a server with lower transaction numbers."""

import pytest

from tests.sql.laws.runs.runs_kit import make_foreign


def restored(kit, *, sealed):
    """Make all history look as if written on a server whose transaction ids were a million higher."""
    with kit.triggers_off() as db:
        db.execute("update bus.events set xid = (xid::text::bigint + 1000000)::text::xid8")
        if sealed:
            db.execute("update bus.instance set generation = 2")
            db.execute("select api.seal_events(100000)")
    kit.db.execute(
        "update bus.instance set generation = 1, identity = 'elsewhere', home_started_at = '-infinity'"
    )


@pytest.mark.parametrize("sealed", [True, False])
def test_in_a_server_with_lower_transaction_numbers_the_history_keeps_its_order(kit, sealed):
    """Readers and seals sort by transaction, but events of this server must follow the restored ones.

    This includes events written before the first start, and a reader that was ahead of the seals.
    """
    kit.call("desk", "select halt('in the old server')")
    restored(kit, sealed=sealed)
    last = kit.look("select max(event_id) as id from bus.events").id
    kit.rows("desk", "select * from read_events('test', 1)")
    kit.db.execute(
        "update bus.consumers set (generation, xid, event_id) ="
        " (select generation, xid, event_id from bus.events where event_id = %s)",
        [last],
    )

    kit.call("desk", "select halt('before the first start')")
    make_foreign(kit)
    kit.call("desk", "select halt('after it')")
    kit.db.execute("select api.seal_events(100000)")

    events = kit.rows("desk", "select * from read_events('test', 100)")
    assert [event.data["reason"].split(":")[0] for event in events if event.entity == "mode"] == [
        "before the first start",
        "restored or copied database",
        "after it",
    ]
    assert kit.rows("desk", "select * from verify_seals()") == []
    assert kit.look("select count(*) = max(seal_no) as all_of_them from bus.seals").all_of_them


def test_what_was_not_yet_read_in_the_old_server_is_not_passed_over(kit):
    """Unread events have transaction ids ahead of this server's, so they wait for the next generation."""
    kit.call("desk", "select halt('in the old server')")
    restored(kit, sealed=False)
    kit.call("desk", "select halt('before the first start')")

    assert [event.entity for event in kit.rows("desk", "select * from read_events('test', 100)")] == []
    make_foreign(kit)
    events = kit.rows("desk", "select * from read_events('test', 1000)")

    reasons = [event.data["reason"].split(":")[0] for event in events if event.entity == "mode"]
    assert reasons[-3:] == ["in the old server", "before the first start", "restored or copied database"]
