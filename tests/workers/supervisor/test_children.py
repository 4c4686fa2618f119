"""A process gets its own secrets only, what it writes is kept, and it ends with the supervisor."""

import asyncio
import json
import os
import signal
import sys

from tests.workers.sample import LOGIN, TABLE
from tests.workers.supervisor.supervisor_kit import (
    ALIVE,
    ROOT,
    SAMPLE,
    SUPERVISOR,
    logged,
    python,
    row,
    until,
)
from workers.runtime import child as children


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
        "import asyncio; from tests.workers.supervisor.supervisor_kit import SAMPLE, Supervisor;"
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
