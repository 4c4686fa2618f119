"""The commands that people use, on a real database: their output, refusals and exit status."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

FILE = '''
from collections.abc import Iterable
from workers.strategies import Price, Proposal, Strategy, parameter

class Dip(Strategy):
    """Buys what fell."""

    percent = parameter(1.0, least=0.1, most=20)

    def on_data(self, price: Price) -> Iterable[Proposal]:
        return []
'''


@pytest.fixture
def traded(market):
    """A position of ten shares, bought for the strategy."""
    market.reconcile()
    market.intent = market.buy(10)
    return market


def refused(result):
    """Check that a command was refused with only a message and a hint; return the message with its code."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    first, *rest = result.stderr.splitlines()
    assert first.startswith("refused: "), result.stderr
    assert rest[0].startswith("hint: ")
    assert "Traceback" not in result.output
    return first.removeprefix("refused: ")


# halt, safe, resume


def test_halt_asks_nothing_and_is_true_at_once(command, market):
    done = command("halt", "fat finger")

    assert (done.exit_code, done.output.split(": ")[1]) == (0, "fat finger\n")
    assert market.desk.execute("select mode, reason from system_mode").fetchone() == ("HALT", "fat finger")


def test_a_halt_without_a_reason_is_refused(command, market):
    assert refused(command("halt", " ")) == "a change of mode needs a reason (TRI01)"
    assert market.desk.execute("select mode from system_mode").fetchone() == ("NORMAL",)


def test_safe_does_not_loosen_a_halt(command, market):
    assert command("safe", "careful").exit_code == 0
    assert command("halt", "worse").exit_code == 0

    assert refused(command("safe", "careful")) == "the system is halted, which is stricter than SAFE (TRI04)"
    assert market.desk.execute("select mode from system_mode").fetchone() == ("HALT",)


def test_leaving_halt_needs_the_code(command, market):
    market.desk.execute("select set_override_code('tulip-4711')")
    command("halt", "why")

    wrong = refused(command("resume", "again", input="rose\n"))
    assert wrong == "wrong override code, 4 more before it locks for 15 minutes (TRA01)"
    assert market.desk.execute("select mode from system_mode").fetchone() == ("HALT",)

    right = command("resume", "again", input="tulip-4711\n")
    assert right.exit_code == 0
    assert right.stdout.startswith("NORMAL since ")
    assert "tulip" not in right.output


def test_a_code_comes_from_a_file_as_well_and_never_from_the_command_line(command, market, tmp_path):
    market.desk.execute("select set_override_code('tulip-4711')")
    command("halt", "why")
    (tmp_path / "code").write_text("tulip-4711\n")

    for option in ("--code", "--current"):
        for name in ("resume", "adopt", "set-code"):
            assert command(name, "x", option, "tulip-4711").exit_code == 2
    assert command("resume", "x", input="").exit_code == 1, "no code is not a try"
    assert market.desk.execute("select tries from override_code").fetchone() == (0,)
    assert command("resume", "x", "--code-file", str(tmp_path / "code")).exit_code == 0


def test_five_wrong_codes_lock_it_even_for_the_right_one(command, market):
    market.desk.execute("select set_override_code('tulip-4711')")
    command("halt", "why")
    for _ in range(5):
        assert command("resume", "x", input="rose\n").exit_code == 1

    locked = command("resume", "x", input="tulip-4711\n")
    assert refused(locked).startswith("the override code is locked until")


def test_leaving_safe_needs_no_code(command, market):
    command("safe", "careful")

    assert command("resume", "fine").exit_code == 0


def test_the_code_is_changed_only_with_the_current_one(command, market, secrets, tmp_path):
    assert command("set-code", input="\ntulip-4711\n").exit_code == 0

    assert "wrong override code" in refused(command("set-code", input="rose\ndaisy-4712\n"))
    assert "at least 8 characters" in refused(command("set-code", input="tulip-4711\ndaisy\n"))
    (tmp_path / "current").write_text("tulip-4711\n")
    (tmp_path / "new").write_text("daisy-4712\n")
    assert command("set-code", "--current-file", "current", "--code-file", "new").exit_code == 0
    command("halt", "why")
    assert command("resume", "x", input="daisy-4712\n").exit_code == 0


# cash


def test_money_that_came_or_went_is_booked_once_under_its_key(command, market):
    (before,) = market.desk.execute("select cash from accounts").fetchone()
    (account,) = market.desk.execute("select account from accounts").fetchone()

    for _ in range(2):
        done = command("account", "deposit", account, "5000", "--note", "bank", "--key", "17")
        assert done.exit_code == 0, done.output
        assert "(key 17)" in done.stdout
    assert command("account", "withdraw", account, "1000").exit_code == 0
    assert refused(command("account", "withdraw", account, "1000", "--key", "17")).endswith("(TRI03)")
    assert command("account", "deposit", account, "0").exit_code == 1
    assert command("account", "deposit", "nobody", "1").exit_code == 1

    assert market.desk.execute("select cash from accounts").fetchone() == (before + 4000,)


# approvals


def test_an_exit_that_waits_in_a_halt_is_listed_approved_or_rejected(command, traded):
    command("halt", "why")
    (intent,) = traded.desk.execute(
        "select create_intent('mine', '005930', 'SELL', 4, 69000, 'out', 'momo', 'EXIT')"
    ).fetchone()

    listed = json.loads(command("approvals", "--json").output)
    assert [(row["intent_id"], row["side"], row["quantity"]) for row in listed] == [(intent, "SELL", "4")]
    assert command("approve", str(intent), "it must get out").output == f"Intent {intent} is approved.\n"
    assert command("approvals").output == "No intent is waiting for approval.\n"
    assert refused(command("reject", str(intent))) == f"intent {intent} is not waiting for approval (TRL01)"


# lists


def test_the_lists_show_the_way_of_a_decision(command, traded):
    (intent,) = json.loads(command("intents", "--json").output)
    (order,) = json.loads(command("orders", "--json").output)
    (fill,) = json.loads(command("fills", "--json").output)
    (position,) = json.loads(command("positions", "--json").output)

    assert (intent["intent_id"], intent["status"], intent["filled_qty"]) == (traded.intent, "FILLED", "10")
    assert (order["intent_id"], order["status"]) == (traded.intent, "FILLED")
    assert (fill["side"], fill["quantity"], fill["price"]) == ("BUY", "10", "70100")
    assert (position["owner"], position["qty"], position["stop_price"]) == ("momo", "10", "67900")
    assert "momo" in command("positions").output


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["intents", "--live"], 0),
        (["orders", "--live"], 0),
        (["intents", "--symbol", "005930"], 1),
        (["intents", "--symbol", "000660"], 0),
        (["fills", "--account", "mine"], 1),
        (["fills", "--account", "others"], 0),
        (["positions", "--symbol", "000660"], 0),
    ],
)
def test_the_lists_are_narrowed(command, traded, arguments, count):
    assert len(json.loads(command(*arguments, "--json").output)) == count


def test_the_newest_come_first_and_no_more_than_asked(command, traded):
    newest = traded.buy(1)

    (row,) = json.loads(command("intents", "--limit", "1", "--json").output)

    assert row["intent_id"] == newest


def test_a_flat_position_is_shown_only_when_asked(command, traded):
    traded.desk.execute("select create_intent('mine', '005930', 'SELL', 10, 70000, 'out', 'momo')")
    traded.work()

    assert command("positions").output == "No positions.\n"
    (flat,) = json.loads(command("positions", "--all", "--json").output)
    assert Decimal(flat["qty"]) == 0


def test_explain_tells_the_story_in_order_with_milliseconds(command, traded):
    lines = command("explain", str(traded.intent)).output.splitlines()
    story = json.loads(command("explain", str(traded.intent), "--json").output)

    assert " 0.00 ms  intent   MANUAL BUY 10 of 005930 by momo (by hand)" in lines[0]
    assert len(lines) == len(story) >= 6
    assert [row["station"] for row in story].count("fill") == 1
    times = [Decimal(row["ms"]) for row in story]
    assert times == sorted(times)


def test_explain_refuses_what_does_not_exist(command, market):
    assert refused(command("explain", "4711")) == "intent 4711 does not exist (TRI02)"


def test_status_is_one_record(command, traded):
    status = json.loads(command("status", "--json").output)

    assert (status["mode"], status["open_positions"], status["is_simulated"]) == ("NORMAL", 1, True)
    assert "mode             NORMAL" in command("status").output


# accounts, universe, strategies


def test_an_account_says_what_blocks_it(command, market):
    blocked = json.loads(command("account", "check", "mine", "--json").output)

    assert (blocked["cash"], blocked["is_open"], blocked["holdings"]) == ("10000000", False, [])
    what = [row["what"] for row in blocked["blocked_by"]]
    assert "it has not been reconciled since the last start" in what
    assert "it has no running strategy" in what
    assert "the worker execution is not running" in what
    market.reconcile()
    command("safe", "news")
    what = [r["what"] for r in json.loads(command("account", "check", "mine", "--json").output)["blocked_by"]]
    assert "it has not been reconciled since the last start" not in what
    assert "the mode is SAFE: news" in what
    assert "What blocks trading" in command("account", "check", "mine").output


def test_an_account_that_does_not_exist_is_named(command, market):
    assert refused(command("account", "check", "yours")) == "account yours does not exist (TRI02)"


def test_accounts_are_added_once(command, market):
    how = ["--venue", "BINANCE", "--currency", "USDT", "--deposit", "1000.50"]
    added = command("account", "add", "coins", *how)

    assert added.output == "Added coins: paper on BINANCE with 1,000.50 USDT. Next: aegis strategy add.\n"
    assert refused(command("account", "add", "coins", *how)) == "account coins exists (TRI01)"
    listed = json.loads(command("account", "list", "--json").output)
    assert [(row["account"], row["cash"]) for row in listed] == [("coins", "1000.50"), ("mine", "10000000")]


def test_the_universe_grows(command, market):
    rules = ["--currency", "USDT", "--tick", "0.1", "--lot", "0.001", "--min-notional", "5"]
    assert command("universe", "add", "BINANCE", "BTCUSDT", *rules).exit_code == 0

    (row,) = json.loads(command("universe", "list", "--venue", "BINANCE", "--json").output)
    assert (row["symbol"], row["lot_size"], row["min_notional"]) == ("BTCUSDT", "0.001", "5")
    unknown = command("universe", "add", "MARS", "X", "--currency", "USDT", "--tick", "0.1")
    assert "no venue MARS" in refused(unknown)


def test_a_strategy_is_added_with_a_login_and_follows_its_row(command, market, tmp_path, login):
    (tmp_path / "dip.py").write_text(FILE)
    how = ["--account", "mine", "--symbols", "005930", "--budget", "1000000", "--order", "100000"]

    added = command("strategy", "add", "dip", "dip.py:Dip", *how, "--param", "percent=2.5")

    assert "logs in as aegis_s_dip" in added.output, added.output
    mine = login("aegis_s_dip").execute("select class, parameters, status from my_strategy").fetchone()
    assert mine == (f"{tmp_path}/dip.py:Dip", {"percent": 2.5}, "STOPPED")
    assert command("strategy", "start", "dip").exit_code == 0
    (row,) = [r for r in json.loads(command("strategy", "list", "--json").output) if r["strategy"] == "dip"]
    assert (row["status"], row["is_running"]) == ("RUNNING", False)
    assert command("strategy", "stop", "dip").exit_code == 0
    assert refused(command("strategy", "start", "dop")) == "strategy dop does not exist (TRI02)"


@pytest.mark.parametrize(
    ("where", "extra", "message"),
    [
        ("dip.py:Dap", [], "has no class Dap; its strategies are: Dip"),
        ("dip.py:Dip", ["--param", "percnt=2"], "Dip has no parameter 'percnt', it has: percent"),
        ("dip.py:Dip", ["--param", "percent=99"], "percent is a number from 0.1 to 20, not 99"),
        ("dip.py:Dip", ["--symbols", "AAPL"], "unknown symbols AAPL"),
        ("dip.py:Dip", ["--exit", "never"], "exit profile never"),
        ("dip.py:Dip", ["--account", "yours"], "account yours does not exist"),
    ],
)
def test_a_strategy_that_could_not_run_is_not_added(command, market, tmp_path, where, extra, message):
    (tmp_path / "dip.py").write_text(FILE)
    how = ["--account", "mine", "--symbols", "005930", "--budget", "1000000", "--order", "100000", *extra]

    failed = command("strategy", "add", "dip", where, *how)

    assert (failed.exit_code, message in failed.stderr) == (1, True), failed.output
    assert market.desk.execute("select count(*) from strategies").fetchone() == (1,)


def test_a_refusal_is_an_object_for_programs(command, market):
    failed = command("--json", "explain", "4711")

    assert json.loads(failed.stderr)["error"]["code"] == "TRI02"
    assert failed.exit_code == 1
