"""A process that ends is started again; one that crashes three times is given up and reported."""

import asyncio
import os
import signal

from tests.workers.sample import LOGIN, TABLE
from tests.workers.supervisor.supervisor_kit import ALIVE, SAMPLE, SUPERVISOR, logged, python, row, until
from workers.runtime import child as children
from workers.runtime.logins import LoginError
from workers.runtime.memory import resident_bytes
from workers.runtime.settings import Settings
from workers.supervisor import Supervisor


async def test_a_killed_process_is_started_again(db, supervise):
    db.execute(TABLE)
    supervise(SAMPLE)
    pid = await row(db, ALIVE)

    os.kill(pid, signal.SIGKILL)

    await until(lambda: (found := db.execute(ALIVE).fetchone()) and found[0] != pid)
    status = await row(db, "select data -> 'detail' ->> 'status' from api.events where entity = 'error'")
    assert status == "ended by SIGKILL"


async def test_a_process_that_is_asked_to_stop_by_somebody_else_is_started_again(db, supervise):
    db.execute(TABLE)
    supervise(SAMPLE)
    pid = await row(db, ALIVE)

    os.kill(pid, signal.SIGTERM)

    await until(lambda: (found := db.execute(ALIVE).fetchone()) and found[0] != pid)


async def test_after_three_crashes_it_gives_up_and_people_are_told(db, supervise, tmp_path, caplog):
    supervisor = supervise(python("import sys; sys.exit('the disk is on fire')"))

    detail = await row(db, "select detail from api.incidents where kind = 'crash_loop'")

    assert detail["status"] == "ended with status 1"
    assert detail["last_words"] == ["the disk is on fire"] * 3
    assert supervisor.children["program"].given_up
    assert [entry["message"] for entry in logged(tmp_path)] == ["the disk is on fire"] * 3
    assert "3 crashes in 60 s, it is not started again" in caplog.text
    await row(db, "select count(*) from api.events where entity = 'error'", 3)


async def test_what_cannot_be_started_counts_as_a_crash(db, supervise):
    def no_password(login):
        raise LoginError(f"there is no password for {login}")

    supervise(python("pass"), env_of=no_password)

    detail = await row(db, "select detail from api.incidents where kind = 'crash_loop'")
    assert detail["status"] == f"cannot start: there is no password for {LOGIN}"


async def test_people_are_told_also_when_the_database_was_away_at_the_time(db, dsn, tmp_path):
    supervisor = Supervisor(Settings(database_url=dsn(SUPERVISOR), data_dir=tmp_path), core=[])
    crashed = children.Child(python("pass"), dict, tmp_path / "x.log", status="ended", given_up=True)
    supervisor._crashed(crashed)

    serving = asyncio.create_task(supervisor.run())

    await row(db, "select subject from api.incidents where kind = 'crash_loop'", "program")
    supervisor.request_stop()
    await serving


async def test_what_a_process_leaves_behind_holds_nothing_up_and_is_ended(db, supervise, tmp_path):
    leave = (
        "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); raise SystemExit(1)"
    )

    supervise(python(leave))

    await row(db, "select detail from api.incidents where kind = 'crash_loop'")
    for left in logged(tmp_path):
        await until(lambda pid=left["message"]: resident_bytes(int(pid)) in (None, 0))


async def test_a_pipe_that_somebody_holds_open_for_ever_does_not_hold_up_the_restart(
    db, supervise, monkeypatch
):
    monkeypatch.setattr(children, "LAST_WORDS_WITHIN", 0.1)
    escape = "subprocess.Popen(['sleep', '60'], start_new_session=True)"

    supervise(python(f"import subprocess; {escape}; raise SystemExit(1)"))

    await row(db, "select detail from api.incidents where kind = 'crash_loop'")
