"""`aegis up` and `aegis down` as a user starts them: real processes, an embedded server, the whole demo."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.database.postmaster import answering
from tests.cli.launcher import lives, scratch, wait_until_dead
from tests.cli.up_kit import CODE, PATIENCE, Aegis


@pytest.fixture
def aegis() -> Iterator[Aegis]:
    with scratch() as place:
        person = Aegis(place)
        yield person
        person.end()


def test_the_first_start_trades_and_shows_the_oversell_refused(aegis):
    up = aegis.up("--for", "8s")

    assert up.ended() == 0, up.said
    file = aegis.place / "secrets" / "override_code.demo"
    code = file.read_text()
    assert re.fullmatch(r"\w{4}-\w{4}", code)
    assert f"override code, needed to leave HALT, is in {file}" in up.said
    assert code not in up.said, "what is said to a pipe may be kept in a log"
    assert re.search(r"fill +BUY \d+ \d{6} at \d+ for (momentum|mean_reversion)", up.said), up.said
    assert re.search(r"staged oversell: SELL \d+ \d{6} with only \d+ held", up.said)
    assert re.search(r"refused by the database: cannot sell \d+: \d+ of \d{6} is free \(TRQ01\)", up.said)
    assert "hint: It must be held by" in up.said
    assert "SIMULATED NORMAL" in up.said
    assert "law audit   empty: every law held" in up.said
    assert re.search(r"quotes +[\d,]+: [\d,]+ applied, [\d,]+ superseded, 0 quarantined", up.said)
    assert "DISCONNECTED" in up.said
    assert f"leave HALT  the override code is in {file}" in up.said, "the summary says it too"
    assert not aegis.server_runs
    assert file.stat().st_mode & 0o777 == 0o600


def test_ctrl_c_ends_everything_and_the_next_start_goes_on_also_halted(aegis):
    up = aegis.up()
    up.wait_for("fill +BUY")
    workers = up.workers()
    assert len(workers) >= 8
    halted = aegis.run("halt", "fat finger")
    assert halted.returncode == 0, halted.stderr
    up.wait_for("mode +system is HALT: fat finger")

    assert up.interrupt() == 0, up.said
    assert not any(lives(pid) for pid in workers)
    assert not aegis.server_runs
    assert re.search(r"mode +HALT since .*: fat finger", up.said)
    held = re.search(r"still held +(\d+)", up.said)

    again = aegis.up("--for", "4s")
    assert again.ended() == 0, again.said
    assert "The mode is HALT since" in again.said
    assert "A restart does not change the mode" in again.said
    assert "fill  " not in again.said
    assert "The override code, needed to leave HALT, is" not in again.said, "it is shown once"
    still = re.search(r"still held +(\d+)", again.said)
    assert (held and held[1]) == (still and still[1])


def test_only_one_runs_and_down_stops_it(aegis):
    up = aegis.up()
    up.wait_for("status +SIMULATED")

    second = aegis.run("up", "--for", "1s")
    assert second.returncode == 1
    assert f"aegis up is already running for demo (pid {up.process.pid}, feed sim)" in second.stderr
    assert "hint: Watch it with aegis top; stop it with aegis down." in second.stderr
    assert up.process.poll() is None

    down = aegis.run("down")
    assert (down.returncode, down.stdout.splitlines()[0]) == (0, f"Stopped aegis up (pid {up.process.pid}).")
    assert up.ended() == 0
    assert not aegis.server_runs
    assert "aegis up is not running for demo here." in aegis.run("down").stdout


def test_a_file_left_by_kill_9_is_not_believed_and_the_next_start_resumes(aegis):
    up = aegis.up()
    up.wait_for("fill +BUY")
    workers = up.workers()
    up.process.kill()
    up.process.wait()
    for pid in workers:
        wait_until_dead(pid)
    assert aegis.server_runs, "a killed process stops no server"
    assert aegis.rows("select * from api.law_audit") == []
    (feed,) = aegis.rows("select status from api.feeds")
    assert feed == ("DISCONNECTED",)

    again = aegis.up("--for", "5s")
    assert again.ended() == 0, again.said
    assert re.search(r"fill +(BUY|SELL)", again.said), again.said
    assert "law audit   empty: every law held" in again.said
    assert not aegis.server_runs, "the server of the killed run is ours to stop"


@pytest.mark.parametrize(("lines", "columns"), [(50, 140), (24, 80)])
def test_on_a_terminal_there_is_a_live_screen(aegis, lines, columns):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "up"],
        env=aegis.environment | {"TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    aegis.started.append(process)
    os.close(slave)

    whole = re.compile(r"to target.*BUY .*Ctrl-C stops everything", re.DOTALL)
    shown = read_until(master, whole.search)
    process.send_signal(signal.SIGINT)
    shown += read_until(master, lambda text: "aegis account add" in text)

    assert process.wait(PATIENCE) == 0, shown
    for what in ("SIMULATED", "NORMAL", "net ", "to stop", "to target", "quotes/s", "Ctrl-C stops"):
        assert what in shown
    assert ("p99" in shown) == (lines == 50)
    assert "law audit   empty" in shown
    os.close(master)


def read_until(terminal: int, seen: Callable[[str], object]) -> str:
    """Read a terminal until `seen` accepts its text or it closes; return the text without control codes."""
    text, deadline = "", time.monotonic() + PATIENCE
    while not seen(text):
        assert select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0], (
            f"never seen: {text}"
        )
        try:
            text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(terminal, 65536).decode(errors="replace"))
        except OSError:  # its other end is closed
            break
    return text


def test_a_killed_server_is_started_again(aegis):
    up = aegis.up()
    up.wait_for("fill +BUY")
    before = answering(aegis.place / "server" / "data")
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    up.wait_for("the database was unreachable")
    up.lines.clear()
    up.wait_for("fill +(BUY|SELL)")

    assert up.interrupt() == 0, up.said
    assert "law audit   empty: every law held" in up.said
    assert not aegis.server_runs


def test_a_recording_ends_by_itself_with_every_event_counted(aegis, tmp_path):
    events = write_recording(tmp_path / "binance_spot.csv.gz")

    up = aegis.up("--feed", f"replay:{tmp_path / 'binance_spot.csv.gz'}", "--speed", "max")

    assert up.ended() == 0, up.said
    assert "the recording has ended, SIMULATED" in up.said
    counts = re.findall(r"(?:quotes|trades) +([\d,]+): ([\d,]+) applied, ([\d,]+) superseded, 0", up.said)
    numbers = [[int(n.replace(",", "")) for n in line] for line in counts]
    assert sum(line[0] for line in numbers) == events, up.said
    assert all(total == applied + superseded for total, applied, superseded in numbers)
    assert "USDT (paper-usdt)" in up.said
    assert "law audit   empty: every law held" in up.said


def write_recording(path: Path) -> int:
    """Write ten seconds of events of two coins; return how many."""
    start, lines = datetime(2024, 8, 8, tzinfo=UTC), ["ts,symbol,bid,bid_qty,ask,ask_qty,last,last_qty"]
    for step in range(2000):
        ts = f"{start + timedelta(milliseconds=5 * step):%Y-%m-%dT%H:%M:%S.%fZ}"
        wave = (step % 97) - 48
        lines.append(f"{ts},BTCUSDT,{61000 + wave}.0,5,{61000 + wave}.1,5,,")
        if step % 4 == 0:
            lines.append(f"{ts},ETHUSDT,,,,,2681.5,1.5")
    with gzip.open(path, "wt") as file:
        file.write("\n".join(lines) + "\n")
    return len(lines) - 1


def test_a_live_database_refuses_simulated_prices(aegis):
    refused = aegis.run("--database", "aegis", "up", "--for", "1s")

    assert refused.returncode == 1
    assert "refused: a sim feed cannot bring prices into a live database (TRI04)" in refused.stderr
    assert not aegis.server_runs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--feed", "nonsense"], "unknown feed 'nonsense'"),
        (["--feed", "replay:/no/such/file.csv"], "cannot read the recording /no/such/file.csv"),
        (["--speed", "0"], "the speed is 1 to 100 or max, not 0"),
        (["--for", "5 parsecs"], "is not a time such as 60s, 5m or 1h"),
    ],
)
def test_what_cannot_be_started_is_refused_before_anything_starts(aegis, arguments, message):
    refused = aegis.run("up", *arguments)

    assert refused.returncode in (1, 2)
    assert message in refused.stderr
    assert not (aegis.place / "server").exists()


def test_a_venue_nobody_knows_is_named(aegis, tmp_path):
    write_recording(tmp_path / "mars_spot.csv.gz")

    refused = aegis.run("up", "--feed", f"replay:{tmp_path / 'mars_spot.csv.gz'}")

    assert (refused.returncode, "refused: there is no venue MARS (TRI02)" in refused.stderr) == (1, True)
    assert json.loads((aegis.place / "run" / "demo.json").read_text() or "null") is None
