"""`aegis universe`: the instruments that can be traded, and their rules."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import click

from cli.common.context import App, fetch, pass_app
from cli.common.options import json_option

LIST = """
select i.venue, i.symbol, i.name, i.currency, i.tick_table, i.lot_size, i.min_notional, p.bid, p.ask,
    p.is_fresh
from instruments as i
left join prices as p on p.venue = i.venue and p.symbol = i.symbol
where %s::text is null or i.venue = %s
order by i.venue, i.symbol
"""


@click.group()
def universe() -> None:
    """Add instruments and list them.

    \b
    Examples:
      aegis universe add SIM 005930 --currency KRW --tick KRX
      aegis universe ticks HK 0:0.001 0.25:0.005 0.5:0.01
      aegis universe list
    """


@universe.command()
@click.argument("venue")
@click.argument("symbol")
@click.option("--name", help="Its name.  [default: the symbol]")
@click.option("--currency", required=True, help="The currency it trades in.")
@click.option("--tick", required=True, metavar="TABLE", help="Its tick table; see select * from tick_sizes.")
@click.option(
    "--lot", type=Decimal, default=Decimal(1), show_default=True, help="Quantities are multiples of this."
)
@click.option(
    "--min-notional", type=Decimal, default=Decimal(0), show_default=True, help="Smallest value of an order."
)
@pass_app
def add(
    app: App,
    venue: str,
    symbol: str,
    name: str | None,
    currency: str,
    tick: str,
    lot: Decimal,
    min_notional: Decimal,
) -> None:
    """Add an instrument, or change the rules of one.

    \b
    Examples:
      aegis universe add SIM 005930 --name "Samsung Electronics" --currency KRW --tick KRX
      aegis universe add BINANCE BTCUSDT --currency USDT --tick 0.1 --lot 0.001 --min-notional 5
    """
    app.desk.execute(
        "select add_instrument(%s, %s, %s, %s, %s, %s, %s)",
        [venue, symbol, name or symbol, currency, tick, lot, min_notional],
    )
    app.out.say(f"{symbol} is in the universe of {venue}.")


@universe.command()
@click.argument("name")
@click.argument("bands", nargs=-1, required=True, metavar="TICK|PRICE:TICK...")
@pass_app
def ticks(app: App, name: str, bands: tuple[str, ...]) -> None:
    """Add or change a tick table: one TICK for all prices, or bands that each start at a PRICE.

    \b
    Examples:
      aegis universe ticks 0.0000000001 0.0000000001
      aegis universe ticks HK 0:0.001 0.25:0.005 0.5:0.01 10:0.02 20:0.05 100:0.1
    """
    starts, sizes = zip(*map(_band, bands), strict=True)
    app.desk.execute(
        "select add_tick_table(%s, %s::text[]::numeric[], %s::text[]::numeric[])",
        [name, list(starts), list(sizes)],
    )
    app.out.say(f"Tick table {name} has {len(bands)} band{'s' * (len(bands) > 1)}. Next: aegis universe add.")


def _band(text: str) -> tuple[str, str]:
    """Parse the price and tick of a band; the database checks their values."""
    price, colon, tick = text.rpartition(":")
    for number in (price if colon else "0", tick):
        try:
            Decimal(number)
        except InvalidOperation:
            raise click.BadParameter(f"{text!r} is not a tick such as 0.01 or 100:0.1") from None
    return price if colon else "0", tick


@universe.command("list")
@click.option("--venue", help="Show only this venue.")
@json_option
@pass_app
def list_instruments(app: App, venue: str | None) -> None:
    """List the instruments with their rules and prices.

    \b
    Examples:
      aegis universe list --venue SIM
    """
    app.out.table(fetch(app.desk, LIST, [venue, venue]), empty="No instrument yet: aegis universe add.")
