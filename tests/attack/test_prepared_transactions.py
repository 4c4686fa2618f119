"""A prepared transaction, on a server that allows them: no role of Aegis can end it, so it is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from cli.database.connect import Database
from cli.database.embedded import Server
from tests.cli.launcher import scratch
from workers.runtime.errors import NotAllowed
from workers.runtime.settings import Settings

NAME = "prepared"
WHO = "prepared transaction 'forgotten' of"


def doctor(place: Path) -> list[dict[str, str]]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AEGIS_", "PG"))}
    env |= {
        "AEGIS_DATA_DIR": str(place),
        "AEGIS_DATABASE": NAME,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "doctor", "--json"],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return [row for row in json.loads(done.stdout) if row["check"] == "open"]


def test_it_is_named_by_the_halt_that_it_blocks_by_the_watcher_and_by_doctor() -> None:
    with scratch() as place:
        server = Server.start(place / "server", fsync=False, die_with_owner=True)
        with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
            conn.execute("alter system set max_prepared_transactions = 5")
        server.stop()
        server = Server.start(place / "server", fsync=False, die_with_owner=True)
        database = Database(Settings(data_dir=place), NAME, server)
        database.migrate("demo")
        try:
            with database.admin() as admin:
                admin.execute("alter function risk.lock_gate_exclusive() set lock_timeout = '10ms'")
                admin.execute("update bus.session_limits set idle_in_transaction = '0 s'")
                admin.execute("begin")
                admin.execute("lock table risk.gate in row share mode; select pg_current_xact_id()")
                admin.execute("prepare transaction 'forgotten'")
                with database.desk() as desk, pytest.raises(NotAllowed, match=WHO):
                    desk.execute("select halt('blocked')")
                admin.execute("select api.watch_sessions()")
                (found,) = admin.execute("select kind, subject from risk.incidents").fetchall()
                findings = doctor(place)
                admin.execute("rollback prepared 'forgotten'")
                with database.desk() as desk:
                    desk.execute("select halt('free')")
        finally:
            server.stop("immediate")

    assert found[0] == "transaction_held"
    assert found[1].startswith(WHO)
    assert [row["state"] for row in findings] == ["warn", "warn"]
    assert "'forgotten'" in findings[0]["what"]
    assert "up to 5 prepared transactions" in findings[1]["what"]
