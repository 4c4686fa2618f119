"""Rows from any source: each becomes an event in plain decimals, or is refused with the reason."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.feeds import Quote, Trade
from workers.feeds.rows import PLAIN_ROW, NoEvent, odd_row, plain_event

TS = "2026-03-02T01:00:00.000000Z"
AT = datetime(2026, 3, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("9.995e-05", "0.00009995"),
        ("9.995E-05", "0.00009995"),
        ("1e3", "1000"),
        ("-1.5e+1", "-15"),
        ("27.643747620000003", "27.643747620000003"),
        ("0.00031099999999999997", "0.00031099999999999997"),
        ("1.0e-30", "0." + "0" * 29 + "10"),
        ("0007", "7"),
    ],
)
def test_a_number_comes_out_in_plain_decimals_with_every_digit(written, meant):
    odd = odd_row(f"{TS},X,{written},1,2,1,,")

    assert odd.event == Quote("X", AT, meant, "1", "2", "1")


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "1e", "e5", "1e9999", "1" * 41, "1e18", "0x1", "1_0", "٣", " 1"]
)
def test_what_is_no_number_is_named_with_its_column(number):
    with pytest.raises(NoEvent, match="as its ask_qty"):
        odd_row(f"{TS},X,1,1,2,{number},,")


@pytest.mark.parametrize(
    ("row", "event"),
    [
        (f"{TS},X,5,1,,,,", Quote("X", AT, "5", "1", "0", "0")),
        (f"{TS},X,,,5,1,,", Quote("X", AT, "0", "0", "5", "1")),
        (f"{TS},X,,,,,5,1e0", Trade("X", AT, "5", "1")),
    ],
    ids=["no ask", "no bid", "trade"],
)
def test_a_book_may_have_one_side(row, event):
    assert odd_row(row).event == event


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("", "has 1 column, not 8"),
        (f"{TS},X,1,1,2,1,,,", "has 9 columns, not 8"),
        (f"{TS},X,,,,,,", "is neither a quote nor a trade"),
        (f"{TS},X,1,1,2,1,1,1", "is both a quote and a trade"),
        (f"{TS},X,1,,2,1,,", "has no bid_qty"),
        (f"{TS},X,,,,,1,", "has no last_qty"),
        (f"{TS},,1,1,2,1,,", "has no symbol"),
        (f"{TS},A B,1,1,2,1,,", "has no symbol"),
        (f"{TS[:-1]},X,1,1,2,1,,", "has no time such as"),
        ("2026-02-31T01:00:00Z,X,1,1,2,1,,", "has a time that does not exist"),
    ],
)
def test_what_is_no_event_says_why(row, why):
    with pytest.raises(NoEvent, match=why):
        odd_row(row)


@given(digits=st.text("0123456789", min_size=1, max_size=18))
def test_a_time_is_cut_to_the_microsecond(digits):
    odd = odd_row(f"2026-03-02T01:00:00.{digits}Z,X,1,1,2,1,,")

    assert odd.event.ts == AT + timedelta(microseconds=int(digits.ljust(6, "0")[:6]))
    assert odd.tail == digits[6:].rstrip("0")


@given(
    numbers=st.tuples(*[st.decimals("0", "99999", places=8)] * 4),
    symbol=st.sampled_from(["X", "ES=F", "币安人生USDT", "BTC/USDT:USDT"]),
)
def test_the_short_way_and_the_long_way_agree(numbers, symbol):
    row = f"{TS},{symbol},{','.join(f'{n:f}' for n in numbers)},,\n"
    match = PLAIN_ROW.fullmatch(row)

    assert match is not None
    assert plain_event(match) == odd_row(row).event
