"""The live status: every number comes from a view, every event is shown once."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from rich.console import Console

from cli.common.formats import money, since
from cli.running.dashboard import Dashboard
from cli.running.snapshot import look


@pytest.fixture
def traded(market):
    market.reconcile()
    market.buy(10)
    market.quote(69_300, 69_400)
    return market


def screen(dashboard, snapshot, *, width=140, height=50) -> str:
    dashboard.take(snapshot)
    out = io.StringIO()
    Console(file=out, width=width, height=height).print(dashboard.screen(snapshot))
    return out.getvalue()


def test_the_screen_shows_mode_money_distance_flow_and_latency(traded):
    shown = screen(Dashboard("the foot"), look(traded.desk))

    assert "SIMULATED" in shown
    assert re.search(r"NORMAL +since \d\d:\d\d:\d\d", shown)
    assert re.search(r"net 9,991,\d{3} KRW  P&L -8,\d{3} KRW  mine", shown)
    # bought at 70,100; the bid is 69,300, the stop 68,000, the target 74,400
    assert re.search(r"005930 +momo +10 +70,100 +69,300 +-1\.14 % +2\.02 % +7\.36 %", shown), shown
    assert re.search(r"2 quotes > 0 picks > 1 intents > 1 orders > 1 fills", shown)
    assert "intent to claimed" in shown
    assert "nothing has been refused yet" in shown
    assert re.search(r"fill +BUY 10 005930 at 70100 for momo", shown)
    assert "the foot" in shown


def test_a_halt_its_reason_and_what_waits_are_prominent(traded):
    traded.desk.execute("select halt('fat finger')")
    traded.desk.execute("select create_intent('mine', '005930', 'SELL', 4, 69000, 'out', 'momo', 'EXIT')")

    shown = screen(Dashboard(), look(traded.desk))

    assert "HALT: fat finger" in shown
    assert "1 intents wait for approval" in shown
    assert "selling" in shown


def test_the_last_refusal_has_its_reason(traded, login):
    login("aegis_w_risk").execute("select log_error(null, 'TRQ01', 'cannot sell 100', '{}')")

    assert re.search(r"last refusal \S+ TRQ01 cannot sell 100", screen(Dashboard(), look(traded.desk)))


def test_lines_tell_each_event_once_and_the_state_every_few_seconds(traded):
    dashboard = Dashboard()
    first = look(traded.desk)
    dashboard.take(first)
    lines = list(dashboard.lines(first))
    assert sum("fill " in line for line in lines) == 1
    assert "SIMULATED NORMAL" in lines[-1]

    again = look(traded.desk, after_event=dashboard.last_event)
    dashboard.take(again)
    assert list(dashboard.lines(again)) == []

    traded.desk.execute("select safe('news')")
    later = look(traded.desk, after_event=dashboard.last_event)
    dashboard.take(later)
    assert [line.split(maxsplit=1)[1] for line in dashboard.lines(later)] == ["mode     system is SAFE: news"]


def test_the_rate_is_what_came_between_two_looks(traded):
    dashboard = Dashboard()
    before = look(traded.desk)
    dashboard.take(before)
    totals = {**before.totals, "quotes": before.totals["quotes"] + 50}
    status = {**before.status, "at": before.at + timedelta(seconds=0.5)}

    dashboard.take(replace(before, totals=totals, status=status))

    assert dashboard.rate == 100


def test_more_positions_than_lines_are_counted(traded):
    snapshot = look(traded.desk)
    many = replace(snapshot, positions=[*snapshot.positions] * 60)

    shown = screen(Dashboard("the foot"), many)

    assert len(shown.splitlines()) == 50
    listed = shown.count("005930  momo")
    assert 20 < listed < 60
    assert f"and {60 - listed} more" in shown


@pytest.mark.parametrize("positions", [1, 3, 30])
@pytest.mark.parametrize("incidents", [0, 3])
def test_a_terminal_of_80_by_24_shows_every_number_whole(traded, positions, incidents):
    snapshot = look(traded.desk)
    incident = {
        "kind": "UNREADABLE",
        "subject": "mine",
        "what": "a reason that is too long for one line " * 3,
    }
    (coin,) = snapshot.positions
    coin = {
        **coin,
        "symbol": "1000SATSUSDT",
        "owner": "a_strategy_with_a_long_name",
        "qty": Decimal("0.00123456"),
        "avg_price": Decimal("61234.5678"),
        "bid": Decimal("61234.56"),
    }
    small = replace(snapshot, positions=[coin] * positions, incidents=[incident] * incidents)

    shown = screen(Dashboard("the foot"), small, width=80, height=24)

    lines = shown.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "the foot"
    assert shown.count("incident UNREADABLE") == incidents
    assert "to target" in shown
    assert re.search(r"0\.00123456 +61,234\.5678 +61,234\.56 +-1\.14 % +2\.02 % +7\.36 %", shown), shown
    assert re.search(r"fill +BUY 10 005930 at 70100 for momo", shown)


def test_an_empty_database_can_be_looked_at(login):
    shown = screen(Dashboard(), look(login("aegis_desk")))

    assert "0 quotes > 0 picks > 0 intents > 0 orders > 0 fills" in shown


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("99912345.6", "KRW", "99,912,346 KRW"),
        ("-12.5", "USDT", "-12.50 USDT"),
        ("0", "KRW", "0 KRW"),
    ],
)
def test_money_reads_well(amount, currency, text):
    assert money(Decimal(amount), currency) == text


def test_top_prints_lines_where_there_is_no_terminal(command, traded):
    shown = command("top", "--for", "0.1s")

    assert shown.exit_code == 0, shown.output
    assert re.search(r"status +SIMULATED NORMAL +net 9,991,\d{3} KRW", shown.output)


def ill(snapshot, *problems):
    return replace(snapshot, health=[dict(zip(HEALTH, problem, strict=True)) for problem in problems])


HEALTH = ("state", "subject", "problem", "since")


def test_a_mode_that_nobody_carries_out_is_not_shown_without_a_but(traded):
    snapshot = look(traded.desk)
    then = snapshot.at - timedelta(seconds=44)
    silent = ill(snapshot, ("fail", "database", "nothing was written", then))
    dashboard = Dashboard()
    dashboard.take(silent)

    wide, narrow = screen(Dashboard(), silent), screen(Dashboard(), silent, width=80, height=24)

    said = f"but nothing was written since {then.astimezone():%H:%M:%S}"
    assert said in wide
    assert said in " ".join(narrow.split())
    assert f"NORMAL, {said}" in list(dashboard.lines(silent))[-1]


def test_each_problem_is_a_line_and_many_are_counted(traded):
    snapshot = look(traded.desk)
    hung = [("fail", f"worker{n}", "hangs: no heartbeat", snapshot.at) for n in range(6)]
    waits = ("warn", "strategy momo", "waits to start: the processor is 97% busy", snapshot.at)

    shown = screen(Dashboard(), ill(snapshot, waits, *hung))

    assert "strategy momo: waits to start: the processor is 97% busy since" in shown
    assert shown.count("hangs: no heartbeat") == 3
    assert "and 3 more: aegis status" in shown
    assert "NORMAL , but" not in shown


def test_a_page_that_cannot_look_says_so_with_the_time_of_now(traded):
    snapshot = look(traded.desk)
    dashboard = Dashboard()
    dashboard.take(snapshot)
    list(dashboard.lines(snapshot))
    later = snapshot.at + timedelta(seconds=30)

    stale = snapshot.as_of(later, "the database cannot be reached since 03:30:12")

    assert "NORMAL, but the database cannot be reached since 03:30:12" in list(dashboard.lines(stale))[-1]
    assert f"{later.astimezone():%H:%M:%S}" in screen(Dashboard(), stale)


def test_a_problem_of_another_day_names_the_day(traded):
    at = look(traded.desk).at

    assert since(at - timedelta(days=2), at).startswith(f" since {at - timedelta(days=2):%Y-%m-%d}")
    assert since(None, at) == ""
