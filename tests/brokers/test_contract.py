"""Each test of the contract can fail: an adapter that breaks it in the way it is about is noticed."""

from __future__ import annotations

import inspect

import pytest

from tests.brokers import broken
from tests.brokers.bench import outcome
from tests.brokers.contract import BrokerContract
from tests.brokers.exchange import Fault
from tests.brokers.template import TemplateBroker
from tests.brokers.test_template import TemplateBench

BROKEN = [
    (broken.SaysNothing, "it_says_what_it_can"),
    (broken.SendsTwice, "an_order_is_placed_once"),
    (broken.NewIdEachTime, "the_same_client_order_id_twice_is_one_order"),
    (broken.RefusesNothing, "what_the_broker_refuses_is_a_refusal"),
    (broken.RaisesFromSend, "a_send_without_an_answer_is_unknown"),
    (broken.RefusesOnTimeout, "a_send_without_an_answer_is_unknown"),
    (broken.SendsAgain, "a_send_without_an_answer_is_unknown"),
    (broken.ForgetsWhatItDidNotHear, "an_order_whose_answer_was_lost_is_found"),
    (broken.RaisesForNone, "an_order_the_broker_never_had_is_none"),
    (broken.StateInFloats, "the_state_follows_the_order"),
    (broken.AlwaysOpen, "the_state_follows_the_order"),
    (broken.NoneForFailure, "a_state_that_is_not_certain_raises"),
    (broken.CancelsOnlyOnce, "a_cancel_ends_what_is_open_and_may_be_repeated"),
    (broken.CancelForgetsFills, "a_cancel_ends_what_is_open_and_may_be_repeated"),
    (broken.BelievesItsCancel, "a_cancel_without_an_answer_raises"),
    (broken.AmendsInPlace, "a_replacement_is_a_new_order_for_what_was_open"),
    (broken.RaisesFromSend, "a_replace_without_an_answer_is_unknown"),
    (broken.RefusesOnTimeout, "a_replace_without_an_answer_is_unknown"),
    (broken.PlacesWhatItCannotReplace, "an_order_that_ended_is_not_replaced"),
    (broken.ReplaceNotImplemented, "who_cannot_replace_refuses_and_leaves_the_order"),
    (broken.CancelsWhatItCannotReplace, "who_cannot_replace_refuses_and_leaves_the_order"),
    (broken.NewestFirst, "an_empty_cursor_means_all_fills_oldest_first"),
    (broken.StartsFromNow, "an_empty_cursor_means_all_fills_oldest_first"),
    (broken.RepeatsAFill, "a_cursor_goes_on_after_its_fill_exactly_once"),
    (broken.SkipsAFill, "a_cursor_goes_on_after_its_fill_exactly_once"),
    (broken.OwnOrderNumber, "a_fill_names_its_order_as_placing_did"),
    (broken.FloatMoney, "money_is_decimal_and_times_have_a_zone"),
    (broken.NaiveTimes, "money_is_decimal_and_times_have_a_zone"),
    (broken.EmptyForFailure, "a_list_that_could_not_be_read_is_not_empty"),
    (broken.SnapshotInFloats, "a_snapshot_has_holdings_and_cash_as_text"),
    (broken.NothingForFailure, "a_snapshot_that_could_not_be_read_raises"),
]


async def run(adapter: type[TemplateBroker], name: str) -> list[object]:
    """Run one test of the contract, once for each fault if it takes one; return how each ended."""
    test = getattr(BrokerContract(), f"test_{name}")
    cases = [{"fault": f} for f in Fault] if "fault" in inspect.signature(test).parameters else [{}]
    try:
        return [await outcome(test(TemplateBench(adapter), **case)) for case in cases]
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"test_{name} was skipped: {skipped}") from skipped


@pytest.mark.parametrize(("adapter", "name"), BROKEN, ids=[f"{a.__name__}-{n}" for a, n in BROKEN])
async def test_an_adapter_that_breaks_the_contract_fails(adapter: type[TemplateBroker], name: str) -> None:
    ends = await run(adapter, name)

    assert all(isinstance(end, Exception) for end in ends), ends


def test_every_test_of_the_contract_fails_for_one_of_them() -> None:
    tests = {name.removeprefix("test_") for name in dir(BrokerContract) if name.startswith("test_")}

    assert tests == {name for _, name in BROKEN}
