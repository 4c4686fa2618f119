"""L3: every cash movement is an entry, the balance is their sum, and a fact is never refused."""

from decimal import Decimal

import pytest

from tests.sql.laws.market_kit import refusal
from workers.runtime.errors import CashBreached

RECORD = "select record_cash(%s, %s, %s::numeric, %s)"


def entries(kit):
    return kit.rows("desk", "select kind, amount, note, created_by from cash_entries order by cash_entry_id")


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        ("deposit", "0.01"),
        ("withdrawal", "-0.01"),
        ("dividend", "361.25"),
        ("dividend", "-361.25"),
        ("correction", "1000000"),
        ("correction", "-1000000"),
    ],
    ids=["deposit", "withdrawal", "dividend", "dividend taken back", "more", "less"],
)
def test_money_that_came_or_went_is_an_entry_and_the_balance_its_sum(kit, kind, amount):
    assert kit.call("desk", RECORD, "demo", kind, amount, "why") == 100_000_000 + Decimal(amount)

    last = entries(kit)[-1]
    assert tuple(last) == (kind, Decimal(amount), "why", "aegis_desk")
    assert kit.balance().cash == sum(entry.amount for entry in entries(kit))
    assert kit.audit() == []


def test_the_balance_is_the_sum_of_all_kinds_together(kit):
    order = kit.live_order("BUY", 10, 70_000)
    kit.fill(order, 10, 69_900, fee="104.85", tax=7)
    kit.move_cash("5000.5")
    kit.move_cash("-2000.25")
    kit.move_cash("361", "dividend")
    kit.move_cash("-0.25", "correction")

    kinds = {entry.kind for entry in entries(kit)}
    assert kinds == {"deposit", "fill", "fee", "tax", "withdrawal", "dividend", "correction"}
    assert kit.balance().cash == sum(entry.amount for entry in entries(kit))
    assert kit.balance().cash == 100_000_000 - 699_000 - Decimal("111.85") + 3_000 + Decimal(
        "361.25"
    ) - Decimal("0.25")
    assert kit.audit() == []


def test_two_movements_at_once_both_count(kit):
    one, two = kit.connect("desk"), kit.connect("desk")
    with one.transaction():
        kit.call(one, RECORD, "demo", "deposit", 5, "")
        late = kit.background(two, RECORD, "demo", "withdrawal", -3, "")
        kit.wait_for_lock(two)

    assert late.result(20) == [(100_000_002,)]
    assert kit.audit() == []


def test_a_movement_is_of_one_account(kit):
    kit.add_account("second", cash=7)

    kit.call("desk", RECORD, "second", "dividend", 3, "")

    assert (kit.balance().cash, kit.balance("second").cash) == (100_000_000, 10)
    assert kit.audit() == []


# -- withdrawals of reserved cash --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["withdrawal", "dividend", "correction"])
def test_what_goes_is_taken_even_if_it_was_promised_and_waiting_buys_are_shed(kit, kind):
    older, newer = kit.buy(10), kit.buy(10)

    kit.move_cash(-99_000_000, kind)

    assert (kit.intent_row(older).status, kit.intent_row(newer).status) == ("NEW", "CANCELLED")
    assert (kit.balance().cash, kit.balance().breach_cash) == (1_000_000, 0)
    assert kit.incidents() == [("breach", False)]
    assert kit.audit() == []


@pytest.mark.parametrize("kind", ["deposit", "dividend", "correction"])
def test_a_breach_is_over_when_the_money_is_back_whatever_it_is_called(kit, kind):
    kit.live_order("BUY", 100, 70_000)
    kit.move_cash(-99_000_000)
    assert kit.balance().breach_cash == kit.balance().locked_cash - 1_000_000
    with pytest.raises(CashBreached):
        kit.buy(1)

    kit.move_cash(99_000_000, kind)

    assert kit.balance().breach_cash == 0
    assert kit.incidents() == [("breach", False)]
    assert kit.buy(1)
    assert kit.audit() == []


def test_cash_below_zero_is_a_breach_though_nothing_was_promised(kit):
    assert kit.move_cash(-100_000_500) == -500

    assert kit.balance().breach_cash == 500
    assert refusal(lambda: kit.buy(1)) == "TRC02"
    kit.move_cash(500)
    assert kit.incidents() == [("breach", False)]
    assert refusal(lambda: kit.buy(1)) == "TRC01"
    assert kit.audit() == []


def test_a_dividend_can_be_spent_at_once(kit):
    kit.move_cash(-100_000_000)
    assert refusal(lambda: kit.buy(1)) == "TRC01"

    kit.move_cash("70010.5", "dividend")

    assert kit.buy(1)
    assert kit.balance().locked_cash == kit.balance().cash, "70,000 and 0.015 % of it"


# -- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "kind", "amount", "code"),
    [
        ("demo", "gift", 1, "TRI01"),
        ("demo", "fill", 1, "TRI01"),
        ("demo", "fee", -1, "TRI01"),
        ("demo", "tax", -1, "TRI01"),
        ("demo", "deposit", -1, "TRI01"),
        ("demo", "withdrawal", 1, "TRI01"),
        ("demo", "dividend", 0, "TRI01"),
        ("demo", "dividend", "NaN", "TRI01"),
        ("demo", None, 1, "TRI01"),
        ("nobody", "deposit", 1, "TRI02"),
        (None, "deposit", 1, "TRI02"),
    ],
)
def test_what_is_no_movement_of_cash_is_refused(kit, account, kind, amount, code):
    assert refusal(lambda: kit.call("desk", RECORD, account, kind, amount, "")) == code

    assert kit.balance().cash == 100_000_000
    assert len(entries(kit)) == 1


@pytest.mark.parametrize("station", ["execution", "router", "feed"])
def test_only_people_record_cash(kit, station):
    assert refusal(lambda: kit.call(station, RECORD, "demo", "deposit", 1, "")) == "42501"


@pytest.mark.parametrize(
    ("columns", "values", "code"),
    [
        ("kind, amount", "'gift', 1", "23514"),
        ("kind, amount", "'deposit', -1", "23514"),
        ("kind, amount", "'withdrawal', 1", "23514"),
        ("kind, amount", "'dividend', 0", "23514"),
        ("kind, amount", "'fill', 1", "23514"),
        ("kind, amount, fill_id", "'deposit', 1, 1", "23514"),
    ],
)
def test_a_movement_of_cash_says_what_it_is(kit, columns, values, code):
    kit.hold(1)
    statement = f"insert into trade.cash_entries (account_id, {columns}) values (1, {values})"

    assert refusal(lambda: kit.db.execute(statement.encode())) == code


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "0", None])
@pytest.mark.parametrize("kind", ["deposit", "withdrawal", "correction"])
def test_cash_that_is_no_number_is_refused(kit, kind, amount):
    query = "select record_cash('demo', %s, %s::numeric, 'test')"

    assert refusal(lambda: kit.call("desk", query, kind, amount)) == "TRI01"
    assert kit.balance().cash == 100_000_000


# -- idempotency keys --------------------------------------------------------------------------------------

INSERT = (
    "insert into trade.cash_entries (account_id, kind, amount, idempotency_key) values (1, 'deposit', 1, %s)"
)
KEYED = "select record_cash('demo', %s, %s::numeric, %s, %s)"


def test_the_same_key_again_is_booked_once(kit):
    first = kit.call("desk", KEYED, "deposit", 1000, "from the bank", "bank 17")

    assert kit.call("desk", KEYED, "deposit", "1000.00", "from the bank", "bank 17") == first == 100_001_000
    assert [e.amount for e in entries(kit)][1:] == [1000]


@pytest.mark.parametrize(
    "other",
    [("deposit", 1001, "from the bank"), ("dividend", 1000, "from the bank"), ("deposit", 1000, "else")],
)
def test_the_same_key_for_another_movement_is_refused(kit, other):
    kit.call("desk", KEYED, "deposit", 1000, "from the bank", "bank 17")

    assert refusal(lambda: kit.call("desk", KEYED, *other, "bank 17")) == "TRI03"
    assert kit.balance().cash == 100_001_000


def test_without_a_key_twice_is_twice_and_another_account_has_keys_of_its_own(kit):
    kit.add_account("other")
    for _ in range(2):
        kit.call("desk", KEYED, "deposit", 1000, "test", None)
    kit.call("desk", KEYED, "deposit", 1000, "test", "one")
    kit.call("desk", "select record_cash('other', 'deposit', 5, 'test', 'one')")

    assert (kit.balance().cash, kit.balance("other").cash) == (100_003_000, 100_000_005)


def test_two_sessions_with_one_key_book_it_once(kit):
    first, second = kit.connect("desk"), kit.connect("desk")
    first.execute("begin")
    first.execute(KEYED, ["deposit", 1000, "test", "one"])
    waiting = kit.background(second, KEYED, "deposit", 1000, "test", "one")
    kit.wait_for_lock(second)
    first.execute("commit")

    assert waiting.result() == [(100_001_000,)]
    assert kit.balance().cash == 100_001_000


@pytest.mark.parametrize("key", ["", "x" * 201, "\u20a9" * 67])
def test_a_key_has_bounds(kit, key):
    assert refusal(lambda: kit.call("desk", KEYED, "deposit", 1000, "test", key)) == "TRI01"
    assert refusal(lambda: kit.db.execute(INSERT, [key])) == "23514"


def test_a_key_is_used_once_whoever_writes(kit):
    kit.db.execute(INSERT, ["one"])

    assert refusal(lambda: kit.db.execute(INSERT, ["one"])) == "23505"
