"""Some things are added as a row: each test adds one kind of incident or job and changes nothing else."""

import re
from pathlib import Path

import psycopg
import pytest

from cli.database.files import read_source

SUPERVISOR = Path(__file__).parents[2] / "workers" / "supervisor.py"
# Where code names a kind: an argument, a key, the first column of a finding, or the supervisor's news.
RAISED = re.compile(
    r"(?:raise_incident|end_incident)\(\s*'(\w+)'|'kind', '(\w+)'|return query\s+select '(\w+)'"
    r"|into risk.incidents as i \(kind, subject, detail\)\s+values \(\s+'(\w+)'"
    r"|News\([^\n]*, \"(\w+)\"(?: if [^\n]*)?\)\)"
)


def test_a_kind_of_incident_is_a_row(db, login):
    db.execute("insert into risk.incident_kinds values ('solar_flare', 'warning', 'Wait until it is over.')")

    login("aegis_w_risk").execute("select raise_incident('solar_flare', 'sun', '{}')")

    (row,) = login("aegis_desk").execute("select kind, severity, advice from incidents").fetchall()
    assert row == ("solar_flare", "warning", "Wait until it is over.")


def test_an_unknown_kind_of_incident_is_refused(db, login):
    with pytest.raises(psycopg.Error) as refused:
        login("aegis_w_risk").execute("select raise_incident('solar_flare', 'sun', '{}')")
    assert refused.value.sqlstate == "TRI02"

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        db.execute("insert into risk.incidents (kind, subject, detail) values ('solar_flare', 'sun', '{}')")


def test_every_kind_that_the_code_names_is_a_row(db):
    text = "\n".join(file.text for file in read_source("test").code) + SUPERVISOR.read_text()
    named = {next(filter(None, found)) for found in RAISED.findall(text)} - {"subject"}
    known = {kind for (kind,) in db.execute("select kind from risk.incident_kinds")}

    assert len(named) > 20
    assert named <= known


def test_a_job_is_a_row_and_a_function(db, login):
    db.execute("create function api.count_sheep() returns integer language sql begin atomic select 7; end")
    db.execute("update bus.jobs set every = '1 day', next_run_at = bus.now() + interval '1 hour'")
    db.execute("insert into bus.jobs (job, every, full_batch) values ('count_sheep', '1 h', 8)")
    risk = login("aegis_w_risk")

    assert risk.execute("select run_due_jobs()").fetchone() == (1,)
    assert risk.execute("select run_due_jobs()").fetchone() == (0,)

    db.execute("update bus.jobs set full_batch = 7, next_run_at = bus.now() where job = 'count_sheep'")
    for _ in range(3):  # a full batch means that more work is waiting
        assert risk.execute("select run_due_jobs()").fetchone() == (1,)
    assert db.execute("select last_result, runs from bus.jobs where job = 'count_sheep'").fetchone() == (7, 4)


def test_a_job_whose_function_is_missing_is_an_incident_and_stops_no_other(db, login):
    db.execute("insert into bus.jobs (job, every, next_run_at) values ('no_such_job', '1 h', '-infinity')")
    risk = login("aegis_w_risk")

    while risk.execute("select run_due_jobs()").fetchone() == (1,):
        pass

    assert db.execute("select kind, subject from risk.incidents").fetchall() == [
        ("job_missed", "no_such_job")
    ]
    assert db.execute("select bool_and(runs > 0) from bus.jobs where job <> 'no_such_job'").fetchone() == (
        True,
    )
