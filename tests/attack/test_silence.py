"""Processes report a database that accepts no writes, and record the outage as soon as they can write."""

from __future__ import annotations

from tests.e2e.system import System
from workers.runtime.registry import CORE

# Set it per role and database: our logins have their own setting, which overrides server and database.
EVERY_LOGIN = """
do $$
declare
    v_login name;
begin
    for v_login in select rolname from pg_roles where rolcanlogin and rolname ^@ 'aegis_' loop
        execute format('alter role %I in database {} {} default_transaction_read_only {}', v_login);
    end loop;
end;
$$
"""
END_SESSIONS = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()
"""
NOTHING_WRITTEN = "select exists (select from api.health where problem = 'nothing was written')"
OUTAGE = "select detail from api.incidents where kind = 'outage'"
TELLERS = """
select count(distinct w ->> 'worker') from api.incidents, jsonb_array_elements(detail -> 'workers') as w
where kind = 'outage'
"""


def test_a_read_only_database_is_said_at_once_and_recorded_afterwards(trading: System) -> None:
    with trading.cluster.connect() as admin:
        admin.execute(EVERY_LOGIN.format(trading.name, "set", "= on").encode())
        admin.execute(END_SESSIONS, [trading.name])
    try:
        trading.wait_for(NOTHING_WRITTEN, what="three heartbeats to be missed")
        status = trading.aegis("status")
        page = trading.aegis("top", "--plain", "--for", "0.5s")
        doctor = trading.aegis("doctor")
    finally:
        with trading.cluster.connect() as admin:
            admin.execute(EVERY_LOGIN.format(trading.name, "reset", "").encode())

    assert status.returncode == 1
    assert "fail  database: takes no writes: default_transaction_read_only is on" in status.stdout
    assert "fail  database: nothing was written since " in status.stdout
    assert "NORMAL, but nothing was written since " in page.stdout
    assert doctor.returncode == 1
    assert "nothing was written since " in doctor.stdout
    # Nobody ends the sessions that began read-only: the workers close them themselves.
    trading.wait_for(f"{OUTAGE} is not null", what="the outage to be recorded")
    trading.wait_for(f"select ({TELLERS}) >= {len(CORE)}", what="every worker to report")
    detail = trading.value(OUTAGE)
    assert "could not write for" in detail["message"]
    assert "the database is read-only" in detail["message"]
    trading.wait_for_fills(1)
    trading.wait_until(lambda: trading.aegis("status").returncode == 0, within=20, what="status to be good")
