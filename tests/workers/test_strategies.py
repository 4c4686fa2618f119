"""Strategies: what the base class promises to their authors, and what the two examples do."""

import textwrap
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

import pytest

import workers.strategies
from workers.feeds import Quote
from workers.feeds.simulator import Market
from workers.strategies import Price, Proposal, Strategy, StrategyError, parameter
from workers.strategies.loading import load_strategy
from workers.strategies.mean_reversion import MeanReversion
from workers.strategies.momentum import Momentum

START = datetime(2026, 3, 2, tzinfo=UTC)


def prices(mids, symbol="X"):
    for seq, mid in enumerate(mids):
        middle = Decimal(str(mid))
        yield Price(
            symbol,
            middle - 1,
            middle + 1,
            received_at=START + timedelta(milliseconds=seq),
            received_seq=seq + 1,
        )


def run(strategy, series):
    """The proposals, each with the sequence number of the price that caused it."""
    found = []
    for price in series:
        strategy.populate_indicators(price)
        found += [(price.received_seq, proposal) for proposal in strategy.on_data(price)]
    return found


def simulated(count, seed=1):
    for seq, event in enumerate(islice(Market(seed).events(START), count), start=1):
        if isinstance(event, Quote):
            yield Price(
                event.symbol, Decimal(event.bid), Decimal(event.ask), received_at=event.ts, received_seq=seq
            )


class Idle(Strategy):
    window = parameter(20, least=2, most=100)
    width = parameter(1.5, least=0.0, most=9.0)

    def on_data(self, price):
        return ()


def test_parameters_have_defaults_and_the_row_overrides_them():
    strategy = Idle(["X"], {"window": 5, "width": 2})

    assert (Idle(["X"]).window, Idle(["X"]).width) == (20, 1.5)
    assert (strategy.window, strategy.width) == (5, 2.0)
    assert isinstance(strategy.width, float)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"windw": 5}, "Idle has no parameter 'windw', it has: window, width; did you mean window?"),
        ({"window": 1}, "window is a whole number from 2 to 100, not 1"),
        ({"window": 5.5}, "window is a whole number from 2 to 100, not 5.5"),
        ({"window": "5"}, "window is a whole number from 2 to 100, not '5'"),
        ({"window": True}, "window is a whole number from 2 to 100, not True"),
        ({"width": None}, "width is a number from 0.0 to 9.0, not None"),
        ({"width": float("nan")}, "width is a number from 0.0 to 9.0, not nan"),
        ({"on_data": 5}, "Idle has no parameter 'on_data'"),
    ],
)
def test_a_wrong_parameter_names_itself_and_what_would_be_right(parameters, message):
    with pytest.raises(StrategyError) as error:
        Idle(["X"], parameters)

    assert message in str(error.value)


def test_a_subclass_inherits_parameters_and_may_change_a_default():
    class Wider(Idle):
        width = parameter(3.0, least=0.0, most=9.0)

    assert (Wider(["X"]).window, Wider(["X"]).width, Idle(["X"]).width) == (20, 3.0, 1.5)


def test_it_subscribes_to_the_symbols_of_its_row():
    assert Idle(["A", "B"]).get_required_subscriptions() == ("A", "B")


def test_the_strategy_in_the_documentation_runs(tmp_path):
    text = workers.strategies.__doc__.split("A whole strategy:")[1].split("The database sizes")[0]
    path = tmp_path / "dip.py"
    path.write_text(textwrap.dedent(text))

    dip = load_strategy(f"{path}:Dip")(["X"], {"percent": 2.0})

    assert len(text.strip().splitlines()) <= 20
    assert [seq for seq, _ in run(dip, prices([1000, 990, 981, 979, 979, 960, 950]))] == [4, 7]


@pytest.mark.parametrize("where", ["workers.strategies.momentum:Momentum"])
def test_a_strategy_is_loaded_by_module(where):
    assert load_strategy(where) is Momentum


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("Momentum", "names no strategy: use package.module:Class"),
        ("workers.strategies.momentum:", "names no strategy"),
        ("workers.strategies.momentum:Moment", "has no class Moment; its strategies are: Momentum"),
        ("workers.strategies.momentum:Trend", "is not a subclass of workers.strategies.Strategy"),
        ("workers.strategies:Strategy", "is not a subclass"),
        ("no.such.module:Thing", "there is no module no.such.module"),
        ("workers.strategies.nothing:Thing", "there is no module workers.strategies.nothing"),
        ("/no/such/file.py:Thing", "there is no file /no/such/file.py"),
    ],
)
def test_a_wrong_class_says_what_would_be_right(where, message):
    with pytest.raises(StrategyError) as error:
        load_strategy(where)

    assert message in str(error.value)


def test_a_strategy_without_on_data_is_refused_by_name(tmp_path):
    path = tmp_path / "half.py"
    path.write_text("from workers.strategies import Strategy\nclass Half(Strategy): pass\n")

    with pytest.raises(StrategyError, match="does not define on_data"):
        load_strategy(f"{path}:Half")


def test_an_error_inside_the_users_file_is_shown_as_it_is(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import no_such_library\n")

    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_strategy(f"{path}:Thing")


FLAT, RISE = [1000.0] * 40, [1000.0 + step for step in range(1, 15)]


def test_momentum_buys_a_rise_once():
    found = run(Momentum(["X"], {"cooldown": 0}), prices(FLAT + RISE))

    assert [proposal.side for _, proposal in found] == ["BUY"]
    assert found[0][0] > len(FLAT)
    assert found[0][1] == Proposal("X", "BUY", "ENTRY", None, None, found[0][1].reason)


def test_momentum_does_nothing_on_a_flat_or_falling_price():
    assert run(Momentum(["X"]), prices(FLAT * 3)) == []
    assert run(Momentum(["X"]), prices([2000.0 - step for step in range(200)])) == []


def test_momentum_is_silent_until_its_slow_average_is_warm():
    found = run(Momentum(["X"], {"slow": 100}), prices([1000.0 + step for step in range(99)]))

    assert found == []


def test_momentum_needs_the_averages_to_meet_before_it_buys_again():
    wave = (FLAT + RISE + [1000.0 - step for step in range(30)]) * 2
    found = run(Momentum(["X"], {"cooldown": 0}), prices(wave))

    assert len(found) == 2


def test_the_cooldown_is_counted_in_quotes():
    wave = (FLAT + RISE + [1000.0 - step for step in range(30)]) * 2

    assert len(run(Momentum(["X"], {"cooldown": len(wave)}), prices(wave))) == 1


def test_momentum_refuses_a_fast_average_that_is_slower_than_the_slow_one():
    with pytest.raises(StrategyError, match=r"fast \(50\) must be less than slow \(32\)"):
        Momentum(["X"], {"fast": 50})


def test_each_symbol_has_averages_of_its_own():
    strategy = Momentum(["X", "Y"])
    mixed = [
        price for pair in zip(prices(FLAT + RISE), prices(FLAT + FLAT, "Y"), strict=False) for price in pair
    ]

    assert {proposal.symbol for _, proposal in run(strategy, mixed)} == {"X"}


NOISE = [1000.0 + (step * 7 % 5 - 2) for step in range(40)]


def test_mean_reversion_buys_far_below_its_average():
    found = run(MeanReversion(["X"]), prices([*NOISE, 980.0]))

    assert [(seq, proposal.side) for seq, proposal in found] == [(41, "BUY")]


def test_mean_reversion_gives_up_a_position_that_came_back():
    strategy = MeanReversion(["X"])
    strategy.positions = {"X": Decimal(3)}
    found = run(strategy, prices([*NOISE, 1010.0]))

    assert [(proposal.side, proposal.intent_type, proposal.quantity) for _, proposal in found] == [
        ("SELL", "EXIT", None)
    ]


def test_mean_reversion_sells_nothing_it_does_not_hold():
    assert run(MeanReversion(["X"]), prices([*NOISE, 1010.0])) == []


@pytest.mark.parametrize("strategy", [Momentum, MeanReversion])
def test_no_strategy_buys_what_it_holds(strategy):
    holder = strategy(["X"])
    holder.positions = {"X": Decimal(1)}

    found = run(holder, prices([*FLAT, *RISE, *NOISE, 900.0]))

    assert [proposal for _, proposal in found if proposal.side == "BUY"] == []


@pytest.mark.parametrize("strategy", [Momentum, MeanReversion])
def test_a_price_that_never_moves_divides_by_nothing(strategy):
    assert run(strategy(["X"]), prices([1000.0] * 200)) == []


@pytest.mark.parametrize("strategy", [Momentum, MeanReversion])
def test_the_examples_find_entries_in_the_demo_within_seconds_and_the_same_ones_each_time(strategy):
    symbols = ["005930", "000660", "035420", "035720"]

    found = run(strategy(symbols), simulated(250 * 10))

    assert len(found) >= 3
    assert found == run(strategy(symbols), simulated(250 * 10))
