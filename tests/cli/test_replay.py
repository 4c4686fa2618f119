"""`aegis replay` as a user starts it: a separate process, on a machine without any data of Aegis."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from cli.database.embedded import Server
from cli.database.postmaster import answering
from cli.main import cli
from tests.cli.launcher import scratch
from tests.cli.replay_kit import Person, record, row
from workers.feeds.recording import HEADER

SAMPLE = os.environ.get("AEGIS_SAMPLE_RECORDING", "")
SAMPLE_EVENTS_PER_SECOND = 5000
EVENTS = 2000
INTERRUPTED = 130


@pytest.fixture
def person() -> Iterator[Person]:
    with scratch() as home:
        yield Person(home)


@pytest.fixture
def recording(person) -> Path:
    return record(person.home / "sim_day.csv.gz", EVENTS, "broken\n", "2025-13-01T00:00:00Z,X,1,1,2,1,,\n")


def test_a_new_user_replays_a_recording_and_again_with_the_same_digest(person, recording):
    first = person.json(recording)
    again = person.json(recording)

    assert first["events"] == EVENTS
    assert first["applied"] + first["superseded"] + first["quarantined"] == EVENTS
    assert first["malformed"] == 2
    assert "line 2002" in first["malformed_rows"][0]
    assert first["fills"] > 0
    assert first["law_audit"] == "empty"
    assert re.fullmatch("[0-9a-f]{64}", first["digest"])
    assert again["digest"] == first["digest"]
    assert answering(person.data / "server" / "data") is None  # it stops the server it has started


def test_it_tells_a_person_what_happened(person, recording):
    done = person.replay(recording)

    assert done.returncode == 0, done.stderr
    for said in ("By strategy", "momentum", "equity at end", "events per second", "digest", "line 2002"):
        assert said in done.stdout
    assert re.search(r"law audit +empty", done.stdout)
    assert "100%" in done.stderr


def test_ctrl_c_ends_it_with_what_was_done_so_far(person):
    file = record(person.home / "sim_long.csv.gz", 30_000)

    with person.start(file, "--json") as process:
        assert process.stderr is not None
        assert "10%" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == INTERRUPTED, err
    answer = json.loads(out)
    assert not answer["complete"]
    assert 0 < answer["applied"] + answer["superseded"] < 30_000
    assert answer["law_audit"] == "empty"


def test_a_kept_database_stays_and_what_a_killed_replay_left_goes(person, recording):
    with Server.start(person.data / "server"):
        kept = person.replay(recording, "--keep")
        assert "aegis --database replay_1 db psql" in kept.stdout
        with psycopg.connect(Server.attach(person.data / "server").url("postgres"), autocommit=True) as conn:
            conn.execute("create database replay_2")  # nobody holds its lock

        person.json(recording)

        assert person.databases() == ["replay_1"]


def test_the_strategies_and_their_parameters_can_be_chosen(person, recording):
    answer = person.json(recording, "--strategy", "mean_reversion", "--set", "mean_reversion.entry=1.5")

    assert {row["strategy"] for row in answer["strategies"]} == {"mean_reversion"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--step", "soon"], "is not a time such as 50ms"),
        (["--step", "0ms"], "is not a time such as 50ms"),
        (["--set", "momentum.slow"], "does not set a parameter"),
        (["--set", "other.slow=1"], "does not set a parameter of momentum, mean_reversion"),
    ],
)
def test_a_wrong_option_is_reported_before_anything_starts(recording, options, message):
    done = CliRunner().invoke(cli, ["replay", str(recording), *options])

    assert done.exit_code != 0
    assert message in done.output


def test_a_file_that_is_no_recording_is_refused(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("a,b\n1,2\n")
    empty = tmp_path / "y.csv"
    empty.write_text(HEADER + "\nbroken\n")

    assert "is not a recording" in CliRunner().invoke(cli, ["replay", str(file)]).output
    assert "holds no event" in CliRunner().invoke(cli, ["replay", str(empty)]).output


@pytest.mark.parametrize("lot", ["0", "-1", "NaN", "Infinity", "1e-19", "x"])
def test_a_lot_is_a_size(recording, lot):
    done = CliRunner().invoke(cli, ["replay", str(recording), "--lot", lot])

    assert "is not a size above zero" in done.output


ODD = {
    "binance_tails": [
        row(0, "BTCUSD", "7325", "35.06227963", "7325.01", "27.643747620000003"),
        row(1, "BTCUSD", "7106.32", "0.0045000000000000005", "7106.33", "13.42785335"),
        "2024-01-01T00:00:02Z,BTCUSD,,,,,7106.33,0.00031099999999999997",
    ],
    "binance_small": [
        row(n, "SHIBX", bid, "100", "0.0002", "100") for n, bid in enumerate(["0.0001", "9.9e-05"])
    ],
    "binance_nano": [f"2024-01-01T00:00:00.00000{n}123Z,AAA,100,1,101,1,," for n in range(3)],
    "binance_symbols": [row(0, "ES=F", "1", "1", "2", "1"), row(1, "币安人生USDT", "1", "1", "2", "1")],
    "binance_sides": [
        row(0, "X", "1", "1", "", ""),
        row(1, "X", "", "", "2", "1"),
        row(2, "X", "1", "1", "1", "1"),
    ],
}


def moment(line):
    """The time of a row, with all its digits."""
    return line.partition(",")[0].rstrip("Z").replace(".", "").ljust(28, "0")


def test_recordings_as_people_have_them_are_taken_whole_and_alike_each_time(person):
    """All rows go into one file, once sorted and once shuffled, so that one server start is enough."""
    rows = sorted((line for lines in ODD.values() for line in lines), key=moment)
    cut = next(n for n, line in enumerate(rows) if "00:00:01" in line)
    sorted_file, shuffled = person.home / "binance_sorted.csv", person.home / "binance_shuffled.csv"
    sorted_file.write_text("\n".join([HEADER, *rows]) + "\n")
    shuffled.write_text("\n".join([HEADER, *rows[cut:], *rows[:cut]]) + "\n")
    with Server.start(person.data / "server"):
        first, again = person.json(sorted_file), person.json(shuffled, "--sort")
        refused = person.replay(shuffled)
        unknown = person.replay(sorted_file, "--venue", "NYSE")
        symbol = person.home / "binance_symbol.csv"
        symbol.write_text(f"{HEADER}\n{row(0, 'A{B', '1', '1', '2', '1')}\n")
        odd_symbol = person.replay(symbol)

    assert (first["events"], first["quarantined"], first["malformed"]) == (len(rows), 0, 0)
    assert (first["late"], again["late"] > 0, first["sizes_cut_to_lot"]) == (0, True, 3)
    assert again["digest"] == first["digest"]
    assert refused.returncode == unknown.returncode == odd_symbol.returncode == 1
    assert "older than one before them" in refused.stderr
    assert "there is no venue NYSE" in unknown.stderr
    assert "the symbol A{B cannot be taken" in odd_symbol.stderr
    assert "letters of any script" in odd_symbol.stderr
    assert "Traceback" not in refused.stderr + unknown.stderr + odd_symbol.stderr


@pytest.mark.skipif(not Path(SAMPLE).is_file(), reason="AEGIS_SAMPLE_RECORDING names no recording")
def test_a_recorded_day_of_a_real_exchange(person):
    answer = person.json(SAMPLE)

    assert answer["applied"] + answer["superseded"] + answer["quarantined"] == answer["events"] > 0
    assert answer["fills"] > 0
    assert answer["law_audit"] == "empty"
    assert answer["events_per_second"] > SAMPLE_EVENTS_PER_SECOND
    assert person.json(SAMPLE)["digest"] == answer["digest"]
