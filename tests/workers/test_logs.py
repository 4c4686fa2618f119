"""Logs are JSON lines that lose nothing and are easy to read."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.common.context import App
from cli.logs import logs as command
from workers.runtime import logs
from workers.runtime.errors import NotEnoughQuantity

ROOT = Path(__file__).parents[2]


@pytest.fixture
def log_dir(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AEGIS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AEGIS_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


@pytest.fixture
def write(log_dir):
    def write(worker, message, *, level="INFO", ago=timedelta(), file=None, **facts):
        entry = logs.make_entry(worker, level, message, at=(datetime.now(UTC) - ago).timestamp()) | facts
        with (log_dir / (file or f"{worker}.log")).open("a") as stream:
            stream.write(json.dumps(entry) + "\n")

    return write


def read(*args):
    ended = CliRunner().invoke(command, args, obj=App(), catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.output


def entry_of(message, *args, **how):
    record = logging.getLogger("aegis.execution").makeRecord(
        "aegis.execution", logging.INFO, __file__, 1, message, args, how.pop("exc_info", None), extra=how
    )
    return json.loads(logs.JsonLines("execution").format(record))


def test_an_entry_says_when_who_and_what_with_its_facts():
    entry = entry_of("sent %s", "AB-1", order_id=7)

    assert datetime.fromisoformat(entry.pop("ts")).tzinfo == UTC
    assert entry == {"level": "INFO", "worker": "execution", "message": "sent AB-1", "order_id": 7}


def test_an_entry_is_one_line_whatever_is_in_it():
    record = logging.makeLogRecord({"msg": "two\nlines \x1b[31m", "levelname": "INFO"})

    assert len(logs.JsonLines("execution").format(record).splitlines()) == 1


def test_a_refusal_is_logged_with_code_and_hint():
    try:
        raise NotEnoughQuantity("3 of 5 are reserved", hint="Look at positions.")
    except NotEnoughQuantity as error:
        entry = entry_of("failed", exc_info=(type(error), error, error.__traceback__))

    assert entry["error"]["sqlstate"] == "TRQ01"
    assert entry["error"]["hint"] == "Look at positions."
    assert "Traceback" in entry["error"]["traceback"]


def test_what_cannot_be_json_is_still_logged():
    assert entry_of("a", odd={1, 2})["odd"] in ("{1, 2}", "{2, 1}")


def test_a_line_that_is_no_entry_becomes_one(tmp_path):
    handler = logs.open_file(tmp_path / "deep" / "x.log")
    logs.keep_line(handler, "execution", "Segmentation fault")
    logs.keep_line(handler, "execution", '{"ts": 1}')
    logs.keep_line(handler, "execution", "hello", "INFO")
    handler.close()

    entries = [json.loads(line) for line in (tmp_path / "deep" / "x.log").read_text().splitlines()]
    assert [(entry["level"], entry["message"]) for entry in entries] == [
        ("ERROR", "Segmentation fault"),
        ("ERROR", '{"ts": 1}'),
        ("INFO", "hello"),
    ]


def test_a_log_file_is_rotated_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "FILE_BYTES", 1000)
    handler = logs.open_file(tmp_path / "x.log")
    for number in range(100):
        logs.keep_line(handler, "x", f"line {number} " + "." * 100)
    handler.close()

    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["x.log", "x.log.1", "x.log.2", "x.log.3"]
    assert all((tmp_path / name).stat().st_size <= 1000 for name in files)


def test_a_process_without_a_place_for_its_log_says_so_and_runs(tmp_path):
    (tmp_path / "file").write_text("")
    program = (
        "import logging, pathlib; from workers.runtime import logs;"
        f"logs.setup('x', 'INFO', pathlib.Path({str(tmp_path / 'file' / 'x.log')!r})); logging.info('on')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert [json.loads(line)["message"][:11] for line in ended.stderr.splitlines()] == ["no log file", "on"]


def test_logs_of_all_processes_are_one_stream_by_time(write):
    write("router", "second", ago=timedelta(seconds=2))
    write("execution", "first", ago=timedelta(seconds=3))
    write("execution", "third", ago=timedelta(seconds=1))

    assert [line.split()[-1] for line in read().splitlines()] == ["first", "second", "third"]


def test_a_name_means_one_process_and_strategy_means_all_of_them(write):
    write("router", "r")
    write("strategy.momentum", "m")
    write("strategy.reversion", "v")

    assert read("router").split()[-1] == "r"
    assert sorted(line.split()[-1] for line in read("strategy").splitlines()) == ["m", "v"]
    assert read("strategy.momentum").split()[-1] == "m"


def test_level_and_time_choose(write):
    write("router", "old", level="ERROR", ago=timedelta(minutes=10))
    write("router", "small", level="INFO")
    write("router", "bad", level="ERROR")

    assert read("--level", "warning", "--since", "5m").split()[-1] == "bad"
    assert len(read("--since", "1h").splitlines()) == 3


def test_the_last_lines_are_found_across_a_rotation(write):
    write("router", "oldest", file="router.log.2", ago=timedelta(minutes=9))
    write("router", "older", file="router.log.1", ago=timedelta(minutes=8))
    write("router", "new", ago=timedelta(minutes=7))

    assert [line.split()[-1] for line in read("-n", "2").splitlines()] == ["older", "new"]


def test_json_gives_the_lines_as_they_are(write):
    write("router", "a", order_id=7)

    assert json.loads(read("--json"))["order_id"] == 7


def test_a_broken_line_is_passed_over(write, log_dir):
    (log_dir / "router.log").write_text("{broken\n")
    write("router", "whole")

    assert read().split()[-1] == "whole"


def test_without_logs_it_says_where_it_looked(log_dir):
    assert str(log_dir) in read("router")


def test_a_wrong_time_says_what_would_be_right(log_dir):
    ended = CliRunner().invoke(command, ["--since", "yesterday"], obj=App())

    assert ended.exit_code == 2
    assert "such as 30s, 5m, 2h or 1d" in ended.output


def test_following_goes_on_across_a_rotation_and_waits_for_whole_lines(write, log_dir):
    write("router", "before")
    imports = "from cli.common.context import App; from cli.logs import logs"
    program = f"{imports}; logs(['-f', '--json'], obj=App())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE
    ) as following:
        assert json.loads(following.stdout.readline())["message"] == "before"

        (log_dir / "router.log").rename(log_dir / "router.log.1")
        write("router", "late", file="router.log.1")
        write("router", "after")
        write("exits", "another")
        heard = {json.loads(following.stdout.readline())["message"] for _ in range(3)}
        with (log_dir / "router.log").open("a") as stream:
            line = json.dumps(logs.make_entry("router", "INFO", "in two parts"))
            stream.write(line[:20])
            stream.flush()
            write("exits", "meanwhile")
            assert json.loads(following.stdout.readline())["message"] == "meanwhile"
            stream.write(line[20:] + "\n")
        assert json.loads(following.stdout.readline())["message"] == "in two parts"
        following.kill()

    assert heard == {"late", "after", "another"}


def test_a_rendered_entry_has_colour_only_when_asked():
    entry = {
        "ts": "2026-01-02T03:04:05.678+00:00",
        "level": "ERROR",
        "worker": "exits",
        "message": "no",
        "n": 1,
    }

    assert "\x1b[" not in logs.render(entry)
    assert "\x1b[31m" in logs.render(entry, colour=True)
    assert logs.render(entry).endswith("no  n=1")


def test_a_worker_s_control_characters_cannot_spoil_the_terminal():
    entry = {
        "ts": "2026-01-02T03:04:05.678+00:00",
        "level": "INFO",
        "worker": "x",
        "message": "\x1b[2J\x07bad\n",
    }

    assert logs.render(entry).count("\x1b") == logs.render(entry).count("\x07") == 0
