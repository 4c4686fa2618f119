"""`aegis strategy`: strategies propose trades.  Start and stop change a row, which the supervisor obeys."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from cli.common.context import App, fetch, pass_app
from cli.common.options import json_option

LIST = """
select s.strategy, s.account, s.class, s.symbols, s.budget, s.order_notional, s.exit_profile, s.parameters,
    s.status, w.is_running, coalesce(s.waits_for, '') as waits_for, round(s.realized_pnl, 2) as realized_pnl
from strategies as s
cross join lateral (
    select exists (select from workers as w where w.login = s.login and w.is_alive) as is_running
) as w
order by s.strategy
"""


@click.group()
def strategy() -> None:
    """Add, list, start and stop strategies.

    \b
    Examples:
      aegis strategy list
      aegis strategy stop momentum
    """


def parameter(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """Parse K=V pairs; a value that is valid JSON is decoded, any other is text."""
    parameters: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{pair!r} is not name=value")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


@strategy.command()
@click.argument("name")
@click.argument("where", metavar="CLASS")
@click.option("--account", required=True, help="The account it trades in.")
@click.option("--symbols", required=True, metavar="A,B,C", help="The symbols it may trade.")
@click.option("--budget", required=True, type=Decimal, help="The most it may have invested.")
@click.option("--order", required=True, type=Decimal, metavar="AMOUNT", help="The value of one entry.")
@click.option(
    "--exit", "profile", default="swing", show_default=True, help="See select * from exit_profiles."
)
@click.option(
    "--param",
    "parameters",
    multiple=True,
    callback=parameter,
    metavar="K=V",
    help="For its class; may be repeated.",
)
@click.option("--start", is_flag=True, help="Start it at once.")
@pass_app
def add(
    app: App,
    name: str,
    where: str,
    account: str,
    symbols: str,
    budget: Decimal,
    order: Decimal,
    profile: str,
    parameters: dict[str, Any],
    start: bool,
) -> None:
    """Add a strategy with its own login; it is stopped unless --start is given.

    CLASS is package.module:Class, or path/to/file.py:Class for your own file.

    \b
    Examples:
      aegis strategy add dip dip.py:Dip --account paper-krw --symbols 005930,000660 \\
          --budget 20000000 --order 2000000 --exit swing --param percent=1.5
    """
    from psycopg.types.json import Jsonb

    from workers.strategies.loading import load_strategy

    file, _, class_name = where.rpartition(":")
    if file.endswith(".py"):  # its process may run in another directory
        where = f"{Path(file).expanduser().absolute()}:{class_name}"
    chosen = [symbol.strip() for symbol in symbols.split(",") if symbol.strip()]
    load_strategy(where)(chosen, parameters)
    with app.desk.transaction():
        app.desk.execute(
            "select add_strategy(%s, %s, %s, %s, %s, %s, %s, %s)",
            [name, where, account, chosen, budget, order, profile, Jsonb(parameters)],
        )
        login = app.database.ensure_strategy_login(name)
        if start:
            app.desk.execute("select start_strategy(%s)", [name])
    then = "the supervisor will run it" if start else f"start it with aegis strategy start {name}"
    app.out.say(f"Added {name}, which logs in as {login}; {then}.")


@strategy.command("list")
@json_option
@pass_app
def list_strategies(app: App) -> None:
    """List the strategies, whether they run or what they wait for, and what they have earned.

    \b
    Examples:
      aegis strategy list
    """
    app.out.table(fetch(app.desk, LIST), empty="No strategy yet: aegis strategy add.")


@strategy.command()
@click.argument("name")
@pass_app
def start(app: App, name: str) -> None:
    """Start a strategy; the running supervisor starts its process.

    \b
    Examples:
      aegis strategy start momentum
    """
    app.desk.execute("select start_strategy(%s)", [name])
    app.out.say(f"Started {name}; the supervisor will run it.")


@strategy.command()
@click.argument("name")
@pass_app
def stop(app: App, name: str) -> None:
    """Stop a strategy; its positions stay open and protected.

    \b
    Examples:
      aegis strategy stop momentum
    """
    app.desk.execute("select stop_strategy(%s)", [name])
    app.out.say(f"Stopped {name}; the supervisor will end it. Its positions stay protected.")
