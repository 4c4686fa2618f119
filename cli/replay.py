"""`aegis replay`: run a recorded day through the same rules and workers, in seconds."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from cli.common.context import App, pass_app
from cli.common.options import json_option
from cli.replaying.plan import Wish, positive

INTERRUPTED = 130


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME|CLASS",
    help="momentum, mean_reversion, package.module:Class or file.py:Class; may be repeated. Default: both.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME.PARAM=VALUE", help="A parameter of a strategy."
)
@click.option(
    "--exits", default="scalp", show_default=True, metavar="PROFILE", help="Exit profile of all positions."
)
@click.option(
    "--step", default="50ms", show_default=True, metavar="TIME", help="Events of one step arrive together."
)
@click.option(
    "--venue", metavar="NAME", help="Where it was recorded (default: the first word of the file's name)."
)
@click.option(
    "--tick",
    metavar="TABLE|SIZE",
    help="Tick table or tick size (default: KRX on KRX and SIM, else from the decimals of its prices).",
)
@click.option(
    "--lot",
    callback=positive,
    metavar="SIZE",
    help="Lot size; sizes are rounded down to it (default: from the decimals of its sizes).",
)
@click.option("--sort", is_flag=True, help="Sort the rows by time first, in memory.")
@click.option("--currency", metavar="CODE", help="Currency of the account (default: that of the venue).")
@click.option(
    "--cash",
    type=click.IntRange(1),
    help="Cash to start with (default: 100,000 USDT; on KRX and SIM 100,000,000 KRW).",
)
@click.option(
    "--trades", default=10, show_default=True, metavar="N", help="How many of the last trades to print."
)
@click.option(
    "--thorough", is_flag=True, help="Also run the drains that would find nothing; the result is the same."
)
@click.option("--keep", is_flag=True, help="Keep the database afterwards.")
@json_option
@pass_app
def replay(app: App, /, file: Path, trades: int, keep: bool, **options: Any) -> None:
    """Run the recording FILE through the same rules and workers.

    FILE is CSV, plain or gzipped: ts,symbol,bid,bid_qty,ask,ask_qty,last,last_qty.  It runs in its own
    database, with the paper broker and the recording's clock, as fast as this machine can; the same input
    gives the same digest.  Ctrl-C stops it and reports what happened so far.

    \b
    Examples:
      aegis replay binance_usdm_20240808.csv.gz
      aegis replay day.csv.gz --strategy my_strategy.py:Dip --set dip.percent=0.5
      aegis replay day.csv.gz --step 10ms --json --keep
      aegis replay merged.csv --venue BINANCE --tick 0.01 --lot 0.001 --sort
    """
    from cli.replaying.database import own_database
    from cli.replaying.recordings import check_venue, tick_tables
    from cli.replaying.report import report
    from cli.replaying.run import Run
    from workers.feeds.survey import HEAD, Survey

    wish = Wish.of(file, **options)
    head = Survey.of(file, most=HEAD)  # report a bad file at once, not after reading a whole day
    head.check(sort=wish.sort)
    with own_database(app, keep=keep) as database:
        with database.admin() as conn:
            check_venue(conn, wish.venue, head.first)
            tables = tick_tables(conn)
        plan, events = wish.plan(tables)
        for strategy in plan.strategies:
            database.ensure_strategy_login(strategy.name)
        run = Run(app, plan, events)
        asyncio.run(run.serve(database))
        with database.admin() as conn:
            violations = report(app, conn, run, trades)
        if keep:
            app.out.say(f"\nKept: aegis --database {database.name} db psql")
    sys.exit(1 if violations else INTERRUPTED if run.replay.stopped else 0)
