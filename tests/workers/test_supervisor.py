"""The supervisor restarts processes, follows the rows, gives up after crashes, and ends its children."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.workers.sample import LOGIN, TABLE
from workers.runtime import account as accounts
from workers.runtime import child as children
from workers.runtime.account import Account, why_not
from workers.runtime.child import Spec, environment
from workers.runtime.logins import LoginError, worker_env
from workers.runtime.memory import CpuMeter, memory_used, resident_bytes
from workers.runtime.registry import CORE
from workers.runtime.settings import Settings
from workers.supervisor import Supervisor, core_specs

ROOT = Path(__file__).parents[2]
TIMEOUT = 40
SUPERVISOR = "aegis_w_supervisor"
SAMPLE = Spec("sample", LOGIN, (sys.executable, "-m", "tests.workers.sample"))
ALIVE = "select pid from api.workers where name = 'router' and is_alive"
STRATEGIES = "select array_agg(name order by name) from api.workers where login like 'aegis_s_%' and is_alive"
MOMENTUM = "workers.strategies.momentum:Momentum"


def python(program):
    return Spec("program", LOGIN, (sys.executable, "-c", program))


class Pressed(Supervisor):
    """A supervisor on a machine that is as busy as the test says."""

    cpu_used = memory = 0.0

    def pressure(self):
        return self.cpu_used, self.memory


@pytest.fixture(autouse=True)
def own_account(monkeypatch):
    """Run strategies under our own account, except in the tests about accounts."""
    monkeypatch.setattr("workers.supervisor.strategy_account", lambda _: None)


@pytest.fixture
async def supervise(db, dsn, tmp_path):
    """Return a function that starts a supervisor of these processes."""
    running = []

    def start(*core, env_of=None):
        settings = Settings(database_url=dsn(SUPERVISOR), data_dir=tmp_path)
        env_of = env_of or (lambda login: {"AEGIS_DATABASE_URL": dsn(login)})
        supervisor = Pressed(settings, env_of=env_of, core=core)
        running.append((supervisor, asyncio.create_task(supervisor.run())))
        return supervisor

    yield start
    for supervisor, task in running:
        supervisor.request_stop()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def add_strategy(db, login):
    desk = login("aegis_desk")
    desk.execute("select add_instrument('SIM', 'A1', 'A', 'KRW', 'KRX')")
    desk.execute("select add_account('demo', 'paper', 'SIM', 'KRW', p_deposit => 100000000)")

    def add(name, where=MOMENTUM):
        desk.execute("select add_strategy(%s, %s, 'demo', '{A1}', 10000000, 1000000)", [name, where])
        desk.execute("select start_strategy(%s)", [name])

    return add


async def until(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 (rows and processes set no event)
            await asyncio.sleep(0.01)


async def row(db, query, wanted=None):
    """Wait for a row, or for a row with this value; return its first column."""
    found = None

    def is_there():
        nonlocal found
        found = db.execute(query).fetchone()
        return found is not None if wanted is None else found == (wanted,)

    await until(is_there)
    return found[0]


def logged(tmp_path, name="program"):
    file = tmp_path / "logs" / f"{name}.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def test_a_killed_process_is_started_again(db, supervise):
    db.execute(TABLE)
    supervise(SAMPLE)
    pid = await row(db, ALIVE)

    os.kill(pid, signal.SIGKILL)

    await until(lambda: (found := db.execute(ALIVE).fetchone()) and found[0] != pid)
    told = await row(db, "select data -> 'detail' ->> 'status' from api.events where entity = 'error'")
    assert told == "ended by SIGKILL"


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


async def test_a_process_is_told_its_own_secrets_and_no_others(supervise, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "ours")
    monkeypatch.setenv("KIS_APP_SECRET", "ours too")

    supervise(
        python("import os, json; print(json.dumps(dict(os.environ))); import time; time.sleep(60)"),
        env_of=lambda login: {"PGPASSWORD": f"of {login}"},
    )
    await until(lambda: logged(tmp_path))

    environment = json.loads(logged(tmp_path)[0]["message"])
    assert environment["PGPASSWORD"] == f"of {LOGIN}"
    assert environment["AEGIS_PARENT_PID"] == str(os.getpid())
    allowed = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    ours = {"PYTHONPATH", "PYTHONUNBUFFERED", "PGPASSWORD", "AEGIS_PARENT_PID"}
    assert set(environment) <= allowed | ours


async def test_all_that_a_process_writes_is_kept_as_entries(supervise, tmp_path):
    lines = '\'{"ts": "2026-01-01T00:00:00.000+00:00", "level": "INFO", "worker": "w", "message": "m"}\''
    program = (
        f"import sys, time; print({lines}); print('x' * 2_500_000); print('end', file=sys.stderr);"
        "time.sleep(60)"
    )

    supervise(python(program))
    await until(lambda: {entry["message"][-3:] for entry in logged(tmp_path)} >= {"end", "x" * 3})
    await until(lambda: sum(entry["message"].count("x") for entry in logged(tmp_path)) >= 2_500_000)

    kept = logged(tmp_path)
    assert {"ts": "2026-01-01T00:00:00.000+00:00", "level": "INFO", "worker": "w", "message": "m"} in kept
    assert [entry["level"] for entry in kept if entry["message"] == "end"] == ["ERROR"]
    assert sum(entry["message"].count("x") for entry in kept) == 2_500_000
    assert max(len(entry["message"]) for entry in kept) <= children.LONGEST_LINE + 65536


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


async def test_stopping_stops_every_process_and_waits_for_it(db, supervise):
    db.execute(TABLE)
    supervisor = supervise(SAMPLE)
    await row(db, ALIVE)

    supervisor.request_stop()
    await until(lambda: db.execute("select bool_and(state = 'stopped') from api.workers").fetchone()[0])

    assert supervisor.children["sample"].pid is None


async def test_a_process_that_does_not_stop_is_killed(supervise, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "GRACE", 0.2)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(60)"
    )
    supervisor = supervise(python(stubborn))
    await until(lambda: logged(tmp_path))
    child = supervisor.children["program"]

    await child.stop()

    assert child.process.returncode == -signal.SIGKILL


async def test_when_the_supervisor_is_killed_its_processes_end_too(db, dsn, tmp_path):
    db.execute(TABLE)
    program = (
        "import asyncio; from tests.workers.test_supervisor import *;"
        "from workers.runtime.settings import load_settings;"
        f"env = {{'AEGIS_DATABASE_URL': {dsn(LOGIN)!r}}};"
        "asyncio.run(Supervisor(load_settings(), env_of=lambda login: env, core=[SAMPLE]).run())"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AEGIS_DATABASE_URL": dsn(SUPERVISOR)}
    env["AEGIS_DATA_DIR"] = str(tmp_path)
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=env)
    await row(db, ALIVE)

    supervisor.kill()
    await supervisor.wait()

    await row(db, "select state from api.workers where name = 'router'", "stopped")
    await row(db, "select bool_or(is_alive) from api.workers", False)


async def test_strategies_run_as_their_rows_say_from_one_moment_to_the_next(
    db, login, supervise, add_strategy
):
    add_strategy("one")
    supervise()
    await row(db, STRATEGIES, ["strategy.one"])

    add_strategy("two")
    await row(db, STRATEGIES, ["strategy.one", "strategy.two"])
    login("aegis_desk").execute("select stop_strategy('one')")

    await row(db, STRATEGIES, ["strategy.two"])
    assert db.execute(
        "select login from api.workers where is_alive and name like 'strategy%'"
    ).fetchone() == ("aegis_s_two",)


async def test_on_a_busy_machine_new_strategies_wait(db, supervise, add_strategy, caplog):
    add_strategy("one")
    supervisor = supervise()
    supervisor.cpu_used = 0.97
    await until(lambda: "strategy.one waits: the processor is 97% busy" in caplog.text)
    assert supervisor.children == {}
    reason = await row(db, "select waits_for from api.strategies where waits_for is not null")
    assert reason == "the processor is 97% busy, the most is 95%"

    supervisor.cpu_used = 0.5

    await row(db, STRATEGIES, ["strategy.one"])
    await row(db, "select count(*) from strategy.waits", 0)


async def test_when_memory_runs_out_the_longest_idle_strategy_makes_room(db, supervise, add_strategy):
    add_strategy("busy")
    add_strategy("lazy")
    supervisor = supervise()
    await row(db, STRATEGIES, ["strategy.busy", "strategy.lazy"])
    await row(db, "select count(*) from api.workers where login like 'aegis_s_%' and detail <> '{}'", 2)
    supervisor.work = {"strategy.busy": (-1, 0.0), "strategy.lazy": (0, 0.0)}  # only busy's count changes

    supervisor.memory = 0.9
    supervisor.wake.set()
    await row(db, STRATEGIES, ["strategy.busy"])
    assert await row(db, "select subject from api.incidents where kind = 'memory'") == "strategy.lazy"
    assert "strategy.lazy" not in supervisor.children

    supervisor.memory = 0.5
    supervisor.wake.set()
    await row(db, STRATEGIES, ["strategy.busy", "strategy.lazy"])


async def test_a_strategy_that_crashed_out_starts_again_when_its_row_is_restarted(
    db, login, supervise, add_strategy
):
    add_strategy("one", "no.such.module:Strategy")
    supervise()
    await row(db, "select subject from api.incidents where kind = 'crash_loop'", "strategy.one")
    desk = login("aegis_desk")

    desk.execute("select stop_strategy('one')")
    db.execute("update strategy.strategies set class = %s", [MOMENTUM])
    desk.execute("select start_strategy('one')")

    await row(db, STRATEGIES, ["strategy.one"])


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a strategy as another account")
SYSTEM_PYTHON = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/bin")


@pytest.fixture
def nobody(monkeypatch):
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid, "nobody")


@root_only
@pytest.mark.skipif(SYSTEM_PYTHON is None, reason="needs an interpreter that every account can run")
async def test_as_root_a_strategy_runs_under_another_account(
    db, dsn, supervise, add_strategy, nobody, monkeypatch
):
    monkeypatch.setattr("workers.supervisor.strategy_account", accounts.strategy_account)
    monkeypatch.setattr(sys, "executable", SYSTEM_PYTHON)
    packages = f"{ROOT}:{sysconfig.get_path('purelib')}"
    add_strategy("one")

    supervise(env_of=lambda login: {"AEGIS_DATABASE_URL": dsn(login), "PYTHONPATH": packages})
    await row(db, STRATEGIES, ["strategy.one"])

    pid = db.execute("select pid from api.workers where name = 'strategy.one'").fetchone()[0]
    assert os.stat(f"/proc/{pid}").st_uid == nobody.uid  # noqa: PTH116 (of a path that is none)


@root_only
async def test_where_that_account_cannot_run_it_the_log_says_why_and_it_runs(
    db, supervise, add_strategy, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("workers.supervisor.strategy_account", accounts.strategy_account)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copy(ROOT / "workers" / "strategies" / "momentum.py", closed / "mine.py")
    add_strategy("one", f"{closed / 'mine.py'}:Momentum")

    supervise()
    await row(db, STRATEGIES, ["strategy.one"])

    assert "strategy.one runs under our own account: as nobody, " in caplog.text


@root_only
async def test_an_account_that_cannot_run_our_interpreter_is_told_apart(nobody, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert await why_not(nobody, environment({}), MOMENTUM) is not None


def test_an_ordinary_user_has_no_other_account(monkeypatch, tmp_path):
    monkeypatch.setattr(accounts.os, "geteuid", lambda: 1000)

    assert accounts.strategy_account(tmp_path) is None


@root_only
def test_strategies_never_run_as_the_account_whose_peer_is_the_superuser(nobody, tmp_path):
    assert accounts.strategy_account(tmp_path) == nobody

    os.chown(tmp_path, nobody.uid, nobody.gid)

    chosen = accounts.strategy_account(tmp_path)
    assert chosen is None or chosen.uid != nobody.uid


def test_the_supervisor_finds_each_login_s_password_in_the_secrets_directory(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "aegis_w_exits").write_text("pw\n")
    url = "postgresql://aegis_w_supervisor:secret@/demo?host=/run/x&port=5432"
    settings = Settings(database_url=url, pooled_url="postgresql://who@pooler:6432/demo", data_dir=tmp_path)

    env = worker_env(settings, "aegis_w_exits")

    assert env["AEGIS_DATABASE_URL"] == "postgresql://aegis_w_exits@/demo?host=/run/x&port=5432"
    assert env["AEGIS_POOLED_URL"] == "postgresql://aegis_w_exits@pooler:6432/demo"
    assert env["PGPASSWORD"] == "pw"
    assert "secret" not in "".join(value for name, value in env.items() if name != "AEGIS_SECRETS_DIR")
    with pytest.raises(LoginError, match="no password for aegis_w_router"):
        worker_env(settings, "aegis_w_router")


def test_the_core_workers_have_logins_of_their_own_and_the_feed_goes_to_price_sync():
    specs = {spec.name: spec for spec in core_specs(("sim:7", "--speed"))}

    assert set(specs) == set(CORE)
    assert len({spec.login for spec in specs.values()}) == len(specs)
    assert specs["price_sync"].command[-2:] == ("sim:7", "--speed")
    assert specs["router"].command[-1] == "router"


def test_memory_and_processor_are_shares():
    meter = CpuMeter(over=1.0)
    assert meter.used() is None
    started, *ticks = meter._samples[0]
    meter._samples[0] = (started - 2, *ticks)

    assert 0 < memory_used() < 1
    assert 0 <= meter.used() <= 1
    assert 5_000_000 < resident_bytes() < 1_000_000_000
    assert resident_bytes(os.getpid()) == pytest.approx(resident_bytes(), rel=0.2)
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert resident_bytes(ended.pid) is None


HANGS = """
import time
from workers.strategies import Strategy

class Hog(Strategy):
    def on_data(self, price):
        while True:
            pass
"""
AGE = "update bus.workers set heartbeat_at = heartbeat_at - interval '10 s' where name = %s"


async def test_a_process_that_hangs_is_killed_and_started_again(db, supervise, monkeypatch):
    monkeypatch.setattr("workers.supervisor.STEADY", 0.1)
    db.execute(TABLE)
    supervise(SAMPLE)
    pid = await row(db, ALIVE)
    await row(db, "select count(*) from api.workers where name = 'router' and detail <> '{}'", 1)

    os.kill(pid, signal.SIGSTOP)
    db.execute(AGE, ["sample"])

    await until(lambda: (found := db.execute(ALIVE).fetchone()) and found[0] != pid)
    said = await row(db, "select detail ->> 'message' from api.incidents where kind = 'hung_worker'")
    assert said.startswith("sample was killed: no heartbeat for 1")
    assert said.endswith(" s and is started again")


async def test_nobody_is_killed_while_our_own_heartbeats_are_missed(db, supervise):
    db.execute(TABLE)
    supervisor = supervise(SAMPLE)
    pid = await row(db, ALIVE)
    await row(db, "select count(*) from api.workers where name = 'router' and detail <> '{}'", 1)
    os.kill(pid, signal.SIGSTOP)
    db.execute(AGE, ["router"])
    try:
        assert db.execute("select is_hung from api.workers where name = 'router'").fetchone() == (True,)
        assert supervisor.heart.steady_for < 10  # its own heartbeats have not been steady for long enough

        await supervisor._kill_hung()

        assert supervisor.children["sample"].pid == pid
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_strategy_whose_own_code_never_returns_is_killed(
    db, login, supervise, add_strategy, tmp_path, monkeypatch
):
    monkeypatch.setattr("workers.supervisor.STEADY", 0.1)
    (tmp_path / "hog.py").write_text(HANGS)
    add_strategy("hog", f"{tmp_path / 'hog.py'}:Hog")
    supervise()
    await row(db, "select count(*) from api.workers where name = 'strategy.hog' and detail <> '{}'", 1)
    feed = login("aegis_w_price_sync")
    feed.execute("select open_feed('sim', 'SIM', 'sim')")
    feed.execute(
        "select ingest_quotes('sim', array['A1'], array[clock_timestamp()], array[1::bigint],"
        " array[100.0], array[1.0], array[101.0], array[1.0])"
    )
    feed.execute("notify quotes")
    await asyncio.sleep(0.5)  # until it is in its endless loop, which nothing reports

    db.execute(AGE, ["strategy.hog"])

    said = await row(db, "select detail ->> 'message' from api.incidents where kind = 'hung_worker'")
    assert said.startswith("strategy.hog was killed: no heartbeat for")
