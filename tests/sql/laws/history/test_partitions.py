"""L9 over years: partitions are created ahead, old sealed ones dropped, and no drop looks like tampering."""

import shutil

import pytest

from cli.database.files import sql_dir
from cli.database.migrate import migrate
from tests.sql.laws.market_kit import refusal, refuses_truncate


def make(kit, size=10):
    """Create small partitions, and end the first one soon so that they can follow it."""
    if kit.call(kit.db, "select to_regclass('bus.events_from_0')"):
        end = last_event(kit) // size * size + size
        kit.db.execute(
            "alter table bus.events detach partition bus.events_from_0;"
            f"alter table bus.events attach partition bus.events_from_0 for values from (0) to ({end});"
            "alter table bus.events_from_0 rename to events_at_first"
        )
    return kit.call(kit.db, "select api.make_partitions(%s)", size)


def partitions(kit):
    """Number of events per partition, without a shortened first one."""
    names = kit.rows(
        kit.db,
        "select c.relname as name from pg_inherits join pg_class c on c.oid = inhrelid"
        " where inhparent = 'bus.events'::regclass and relname ~ '^events_from_'"
        " order by split_part(relname, '_', 3)::bigint",
    )
    return {row.name: kit.call(kit.db, f"select count(*) from bus.{row.name}") for row in names}


def last_event(kit):
    return kit.call(kit.db, "select max(event_id) from bus.events")


def write(kit, count=10):
    """Write that many more events."""
    for _ in range(count):
        kit.call(kit.db, "select api.log_error(null, 'XX000', 'test', '{}')")


def seal(kit):
    kit.call(kit.db, "select api.seal_events(100000)")


def drop(kit, before=None):
    """Drop as if a month later, because younger events are never dropped."""
    before = before or kit.now
    kit.advance(days=30)
    dropped = kit.call("desk", "select drop_partitions(%s, 'test')", before)
    kit.advance(days=-30)
    return dropped


def verify(kit):
    return [tuple(row) for row in kit.rows("desk", "select * from verify_seals()")]


def recorded_drops(kit):
    return [event.data for event in kit.events("history") if event.change == "retention"]


@pytest.fixture
def old(kit):
    """Two full partitions from an hour ago, all events sealed, with later events beyond them."""
    make(kit)
    write(kit, 40)
    seal(kit)
    kit.advance(hours=1)
    return [name for name, count in partitions(kit).items() if count]


# -- creating partitions ahead -----------------------------------------------------------------------------


def test_the_next_two_partitions_are_made_once(kit):
    first = last_event(kit) // 10 * 10 + 10

    assert (make(kit), make(kit)) == (2, 0)

    assert partitions(kit) == {f"events_from_{first}": 0, f"events_from_{first + 10}": 0}


def test_events_go_into_them_and_what_is_beyond_into_the_default(kit):
    first = last_event(kit) // 10 * 10 + 10
    make(kit)

    write(kit, 40)

    assert partitions(kit) == {f"events_from_{first}": 10, f"events_from_{first + 10}": 10}
    inside = kit.look(f"select min(event_id) as low, max(event_id) as high from bus.events_from_{first}")
    assert tuple(inside) == (first, first + 9)
    beyond = kit.call(kit.db, "select min(event_id) from bus.events_default where event_id > %s", first)
    assert beyond == first + 20


def test_partitions_are_made_on_as_events_come_and_after_they_were_late(kit):
    first = last_event(kit) // 10 * 10 + 10
    make(kit)
    write(kit, first - last_event(kit))
    assert make(kit) == 1, "one was begun: there are two after it again"

    write(kit, 60)
    assert make(kit) == 2
    write(kit, 20)
    assert partitions(kit)[f"events_from_{last_event(kit) // 10 * 10}"] > 0


def test_the_clock_makes_them(kit):
    kit.db.execute("update bus.jobs set next_run_at = %s", [kit.now])
    while kit.call("risk", "select run_due_jobs()"):
        pass

    assert list(partitions(kit)) == ["events_from_0", "events_from_10000000", "events_from_20000000"]
    assert kit.call(kit.db, "select count(*) from bus.events_default") == 0


def test_what_is_traded_is_reported_in_partitions_as_before(kit):
    for _ in range(5):
        make(kit)
        kit.hold(1)

    assert sum(partitions(kit).values()) > 20
    assert kit.audit() == []
    seal(kit)
    assert verify(kit) == []


@pytest.mark.parametrize("writer", ["superuser", "owner"])
def test_they_are_only_added_to(kit, old, writer):
    conn = kit.connect(writer)

    for name in old:
        assert refuses_truncate(conn, f"bus.{name}")
        for statement in (f"update bus.{name} set actor = 'nobody'", f"delete from bus.{name}"):
            assert refusal(lambda s=statement: conn.execute(s.encode())) == "TRL02", statement
    assert refuses_truncate(conn, "bus.events")


@pytest.mark.parametrize("rebuild", [False, True], ids=["applied again", "migrated"])
def test_a_deployment_leaves_them_guarded(kit, old, rebuild, tmp_path):
    code = tmp_path / "sql"
    shutil.copytree(sql_dir(), code)
    (code / "10_bus" / "00_api.sql").open("a").write("-- another version\n")

    report = migrate(kit.db, kind=None, sql_dir=code, force=rebuild)

    assert (report.sql_applied, report.rebuilt) == (True, rebuild)
    for name in old:
        assert refuses_truncate(kit.db, f"bus.{name}")


# -- dropping old partitions -------------------------------------------------------------------------------


def test_what_is_old_and_sealed_is_dropped_and_that_is_an_event(kit, old):
    assert drop(kit) == 2

    assert not set(old) & set(partitions(kit))
    (event,) = recorded_drops(kit)
    first = int(old[0].rpartition("_")[2])
    assert event["partitions"] == 2
    assert event["dropped"] == [{"from": first + n, "to": first + n + 9} for n in (0, 10)]
    assert kit.events("history")[-1].actor == "aegis_desk"


def test_what_was_dropped_was_not_removed(kit, old):
    drop(kit)
    assert verify(kit) == []
    seal(kit)

    assert verify(kit) == []


def test_a_later_drop_names_the_earlier_ones_too(kit, old):
    drop(kit)
    for _ in range(4):
        make(kit)
        write(kit, 20)
    seal(kit)
    kit.advance(hours=1)

    assert drop(kit) > 0
    assert len(recorded_drops(kit)[-1]["dropped"]) > 2
    seal(kit)
    assert verify(kit) == []


def test_what_is_removed_beside_what_was_dropped_is_still_noticed(kit, old):
    drop(kit)
    seal(kit)
    with kit.triggers_off() as db:
        gone = db.execute("delete from bus.events where event_id = 3 returning event_id").fetchall()

    assert gone == [(3,)]
    assert verify(kit) == [(3, "removed")]


def test_the_young_stay(kit, old):
    before = kit.call(kit.db, f"select max(at) from bus.{old[0]}")

    assert drop(kit, before) == 0, "before means before"
    assert set(old) <= set(partitions(kit))


def test_what_is_not_sealed_stays(kit):
    make(kit)
    write(kit, 20)
    kit.advance(hours=1)
    made = set(partitions(kit))

    assert drop(kit) == 0
    assert set(partitions(kit)) == made
    assert recorded_drops(kit)[-1]["dropped"] == []


def test_one_event_that_is_not_sealed_keeps_its_partition(kit):
    make(kit)
    write(kit, 20)
    full = [name for name, count in partitions(kit).items() if count == 10]
    sealed = kit.call(kit.db, f"select max(event_id) - 1 from bus.{full[0]}")
    kit.call(kit.db, "select api.seal_events(%s)", sealed)
    kit.advance(hours=1)

    assert drop(kit) == 0

    seal(kit)
    assert drop(kit) >= 1


def test_partitions_made_ahead_are_empty_and_stay(kit):
    make(kit)
    seal(kit)
    kit.advance(hours=1)

    assert drop(kit) == 0
    assert len(partitions(kit)) == 2


@pytest.mark.parametrize("station", ["risk", "execution", "feed"])
def test_only_people_drop(kit, station):
    assert refusal(lambda: kit.call(station, "select drop_partitions(%s, 'test')", kit.now)) == "42501"


def test_seals_are_only_added_to_and_one_of_each_event(kit):
    write(kit, 1)
    seal(kit)

    assert refuses_truncate(kit.db, "bus.seals")
    for statement in ("update bus.seals set chain = ''", "delete from bus.seals"):
        assert refusal(lambda s=statement: kit.db.execute(s.encode())) == "TRL02", statement
    again = (
        "insert into bus.seals (seal_no, event_id, generation, xid, event_hash, chain)"
        " select seal_no + 1000, event_id, generation, xid, event_hash, chain from bus.seals limit 1"
    )
    assert refusal(lambda: kit.db.execute(again)) == "23505"


def test_the_law_audit_does_not_miss_what_retention_has_dropped(kit):
    make(kit, 10)
    while last_event(kit) < 11:
        write(kit, 1)
    kit.hold(10)
    kit.sell(10)
    write(kit, 20)
    make(kit, 10)
    seal(kit)
    kit.advance(seconds=1)
    assert drop(kit) > 0

    assert kit.audit() == []
