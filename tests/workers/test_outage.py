"""What a process remembers of an outage of the database, and how senders share its wake-ups."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from workers.runtime.database import is_away
from workers.runtime.outage import WORTH_TELLING, Outage, is_outage, reason_of
from workers.runtime.pace import ALL, LATER, SHARE, WINDOW, Pace

AGO = 10 * WORTH_TELLING


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (asyncpg.ReadOnlySQLTransactionError("no"), "the database is read-only (no)"),
        (asyncpg.DiskFullError("no"), "its disk is full (no)"),
        (asyncpg.TooManyConnectionsError("no"), "the server takes no more connections (no)"),
        (asyncpg.LockNotAvailableError("no"), "a lock could not be acquired (no)"),
        (asyncpg.QueryCanceledError("no"), "a statement took too long (no)"),
        (TimeoutError(), "the database did not answer in time"),
        (ConnectionRefusedError("no"), "the database cannot be reached (no)"),
        (asyncpg.AdminShutdownError("no"), "the database refuses work (no)"),
    ],
)
def test_what_keeps_a_worker_from_working_has_a_name(error, reason):
    assert is_outage(error)
    assert reason_of(error) == reason


@pytest.mark.parametrize("error", [ValueError("x"), asyncpg.UniqueViolationError("x"), KeyError("x")])
def test_an_error_of_what_was_asked_is_no_outage(error):
    assert not is_outage(error)


def test_a_database_that_takes_no_writes_is_away_and_tried_again():
    assert is_away(asyncpg.ReadOnlySQLTransactionError("no"))
    assert is_away(asyncpg.DiskFullError("no"))


def test_it_lasts_until_every_part_works_again():
    outage, began = Outage(), time.monotonic() - AGO
    outage.failed("drain", ConnectionResetError("gone"), began)
    outage.failed("heartbeat", asyncpg.ReadOnlySQLTransactionError("no"), began + 1)
    outage.failed("heartbeat", asyncpg.ReadOnlySQLTransactionError("no"), began + 3)

    outage.worked("drain")
    assert not outage.over
    outage.worked("heartbeat")

    assert outage.over
    assert outage.is_worth_telling
    assert outage.failures == 3
    assert outage.seconds == pytest.approx(AGO, abs=1)
    assert outage.reason == "the database is read-only (no)", "what says most, not what came first"


def test_a_connection_that_was_replaced_at_once_is_not_worth_telling():
    outage = Outage()
    outage.failed("drain", ConnectionResetError("gone"), time.monotonic())
    outage.worked("drain")

    assert outage.over
    assert not outage.is_worth_telling


async def test_a_sender_has_its_share_and_what_is_beyond_wakes_a_little_later():
    wake = asyncio.Event()
    pace, woken = Pace(wake), 0
    for _ in range(10 * SHARE):
        pace.heard(1)
        woken += wake.is_set()
        wake.clear()
    assert woken == SHARE

    pace.heard(2)
    assert wake.is_set(), "another sender has its own share"
    wake.clear()
    began = time.monotonic()
    await asyncio.wait_for(wake.wait(), 5)
    assert time.monotonic() - began < LATER + 1


async def test_who_was_beyond_its_share_has_one_wake_up_in_the_next_window():
    wake = asyncio.Event()
    pace = Pace(wake)
    for _ in range(SHARE + 1):
        pace.heard(1)
    pace._window_ends = time.monotonic()

    woken = []
    for sender in (1, 1, 1, 2, 2):
        wake.clear()
        pace.heard(sender)
        woken.append(wake.is_set())

    assert woken == [True, False, False, True, True]
    pace.stop()


async def test_many_senders_share_and_are_not_remembered_without_end():
    wake = asyncio.Event()
    pace, woken = Pace(wake), 0
    pace._window_ends = time.monotonic() + 60

    for sender in range(100_000):
        pace.heard(sender)
        woken += wake.is_set()
        wake.clear()

    assert woken == ALL
    assert len(pace._counts) == ALL
    assert WINDOW < 1
    pace.stop()
