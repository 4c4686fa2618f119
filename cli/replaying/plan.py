"""The options of `aegis replay`, and the plan made from them and the recording."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.replaying.recordings import Bands

if TYPE_CHECKING:
    from workers.replay import Instrument, Plan, StrategyPlan

EXAMPLES = {
    "momentum": "workers.strategies.momentum:Momentum",
    "mean_reversion": "workers.strategies.mean_reversion:MeanReversion",
}
TUNED = {"momentum": {"threshold": 1.0}}  # for an order book quoted many times a second
ON_KRX_TICKS = ("KRX", "SIM")
HOME = {"KRX": ("KRW", 100_000_000), "SIM": ("KRW", 100_000_000)}  # currency and cash by venue
ELSEWHERE = ("USDT", 100_000)
TICKS = (("0.1", 1), ("0.01", 2), ("0.0001", 4), ("0.00000001", 8))  # tick tables and their decimals


def positive(_context: Any, _option: Any, text: str | None, *, raising: bool = True) -> Decimal | None:
    """Parse a size of at least 1e-18 and below 1e18 as a Decimal."""
    try:
        size = None if text is None else Decimal(text)
    except InvalidOperation:
        size = Decimal(0)
    if size is None or (size.is_finite() and Decimal("1e-18") <= size < Decimal("1e18")):
        return size
    if raising:
        raise click.BadParameter(f"{text!r} is not a size above zero such as 0.001")
    return None


@dataclass(frozen=True)
class Wish:
    """The options of the command line, before the recording is read."""

    file: Path
    venue: str
    currency: str
    cash: Decimal
    tick: str | None
    lot: Decimal | None
    sort: bool
    strategies: list[StrategyPlan]
    step: timedelta
    thorough: bool

    @classmethod
    def of(
        cls,
        file: Path,
        strategies: Sequence[str],
        settings: Sequence[str],
        exits: str,
        step: str,
        venue: str | None,
        currency: str | None,
        cash: int | None,
        tick: str | None,
        lot: Decimal | None,
        sort: bool,
        thorough: bool,
    ) -> Wish:
        from workers.feeds.recording import venue_of

        venue = venue or venue_of(file)
        home_currency, home_cash = HOME.get(venue, ELSEWHERE)
        chosen = _strategies(strategies or list(EXAMPLES), settings, exits)
        money = currency or home_currency, Decimal(cash or home_cash)
        return cls(file, venue, *money, tick, lot, sort, chosen, _duration(step), thorough)

    def plan(self, tables: Mapping[str, Bands]) -> tuple[Plan, int]:
        """Read the recording once; return the plan and the number of events."""
        from workers.feeds.grid import Grid
        from workers.feeds.survey import Everywhere, Survey
        from workers.replay import Instrument, Plan, step_end

        table = self.tick or ("KRX" if self.venue in ON_KRX_TICKS else None)
        bands = dict(tables) if table is None else {**tables, **_named(table, tables)}
        asked = Grid(bands[table] if table else (), self.lot) if table or self.lot else None
        survey = Survey.of(self.file, Everywhere(asked) if asked else None)
        survey.check(sort=self.sort)
        assert survey.first is not None  # check raises if there are no events
        instruments: list[Instrument] = []
        for symbol, (prices, sizes) in sorted(survey.decimals.items()):
            name = table or _table_of(prices)
            bands.setdefault(name, [(Decimal(0), Decimal(1).scaleb(-prices))])
            instruments.append(Instrument(symbol, name, f"{self.lot or Decimal(1).scaleb(-sizes):f}"))
        grids = {i.symbol: Grid(bands[i.tick_table], Decimal(i.lot_size)) for i in instruments}
        plan = Plan(
            file=self.file,
            venue=self.venue,
            currency=self.currency,
            cash=self.cash,
            instruments=instruments,
            strategies=self.strategies,
            start=step_end(survey.first, self.step) - self.step,
            step=self.step,
            thorough=self.thorough,
            sort=self.sort,
            tick_tables={name: bands[name][0][1] for name in bands if name not in tables},
            # Ticks and lots derived from the recording fit its numbers, except those like 7106.330000000001.
            grids=grids if asked or survey.tails else {},
        )
        return plan, survey.events


def _named(tick: str, tables: Mapping[str, Bands]) -> dict[str, Bands]:
    """The tick table that --tick names, or a new one if --tick is a size."""
    from workers.replay import ReplayError

    if tick in tables:
        return {tick: tables[tick]}
    size = positive(None, None, tick, raising=False)
    if size is None:
        raise ReplayError(
            f"there is no tick table {tick}",
            hint=f"Use a size such as 0.01, or one of {', '.join(sorted(tables))}.",
        )
    return {tick: [(Decimal(0), size)]}


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)(ms|s)", text)
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{text!r} is not a time such as 50ms or 1s", param_hint="--step")
    return timedelta(milliseconds=int(match[1]) * (1 if match[2] == "ms" else 1000))


def _strategies(wanted: Sequence[str], settings: Sequence[str], exits: str) -> list[StrategyPlan]:
    from workers.replay import ReplayError, StrategyPlan

    chosen: dict[str, tuple[str, dict[str, Any]]] = {}
    for want in wanted:
        cls = EXAMPLES.get(want, want)
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.rpartition(":")[2]).lower()
        chosen[name] = cls, dict(TUNED.get(want, {}))
    for setting in settings:
        match = re.fullmatch(r"(\w+)\.(\w+)=(.+)", setting)
        if match is None or match[1] not in chosen:
            raise ReplayError(
                f"{setting!r} does not set a parameter of {', '.join(chosen)}", hint="Write NAME.PARAM=VALUE."
            )
        chosen[match[1]][1][match[2]] = _number(match[3])
    return [StrategyPlan(name, cls, parameters, exits) for name, (cls, parameters) in chosen.items()]


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _table_of(decimals: int) -> str:
    """The name of the tick table for prices with this many decimals; a new one if there is none."""
    return next((name for name, most in TICKS if decimals <= most), f"{Decimal(1).scaleb(-decimals):f}")
