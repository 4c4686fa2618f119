"""`aegis intents`, `orders`, `positions`, `fills`: the newest rows of the views of the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, LiteralString, TypeVar

import click

from cli.common.context import App, fetch, pass_app
from cli.common.options import json_option

Command = TypeVar("Command", bound=Callable[..., Any])

INTENTS = """
select intent_id, created_at, account, symbol, owner, intent_type, side, quantity, worst_price, status,
    filled_qty, reason, closed_reason
from intents
where (%s::text is null or symbol = %s) and (%s::text is null or account = %s)
  and (not %s or closed_at is null)
order by intent_id desc
limit %s
"""
ORDERS = """
select order_id, created_at, intent_id, account, symbol, side, quantity, limit_price, status, filled_qty,
    client_order_id, broker_order_id, closed_reason
from orders
where (%s::text is null or symbol = %s) and (%s::text is null or account = %s)
  and (not %s or closed_at is null)
order by order_id desc
limit %s
"""
POSITIONS = """
select account, symbol, owner, qty, locked_qty, avg_price, bid, unrealized_pnl, realized_pnl, stop_price,
    take_price, is_armed, note
from positions
where (%s::text is null or symbol = %s) and (%s::text is null or account = %s)
  and (not %s or qty > 0)
order by account, symbol, owner
limit %s
"""
FILLS = """
select fill_id, filled_at, intent_id, account, symbol, owner, side, quantity, price, fee, tax, realized_pnl,
    reason, note
from fills
where (%s::text is null or symbol = %s) and (%s::text is null or account = %s)
order by fill_id desc
limit %s
"""


def choice(command: Command) -> Command:
    """Add the options that all these commands share."""
    for option in (
        click.option(
            "--limit", default=20, show_default=True, type=click.IntRange(1), help="Show at most this many."
        ),
        click.option("--account", help="Show only this account."),
        click.option("--symbol", help="Show only this symbol."),
    ):
        command = option(command)
    return json_option(command)


def _show(app: App, query: LiteralString, what: str, *choices: Any) -> None:
    app.out.table(fetch(app.desk, query, choices), empty=f"No {what}.")


@click.command()
@click.option("--live", is_flag=True, help="Show only those still open.")
@choice
@pass_app
def intents(app: App, symbol: str | None, account: str | None, limit: int, live: bool) -> None:
    """List intents (admitted decisions to buy or sell), the newest first.

    \b
    Examples:
      aegis intents --live
      aegis intents --symbol 005930 --json
    """
    _show(app, INTENTS, "intents", symbol, symbol, account, account, live, limit)


@click.command()
@click.option("--live", is_flag=True, help="Show only those still open.")
@choice
@pass_app
def orders(app: App, symbol: str | None, account: str | None, limit: int, live: bool) -> None:
    """List orders, the newest first.

    \b
    Examples:
      aegis orders --live
    """
    _show(app, ORDERS, "orders", symbol, symbol, account, account, live, limit)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Include closed positions.")
@choice
@pass_app
def positions(app: App, symbol: str | None, account: str | None, limit: int, everything: bool) -> None:
    """List positions, with the prices at which they are sold automatically.

    \b
    Examples:
      aegis positions
      aegis positions --all --account paper-krw
    """
    _show(app, POSITIONS, "positions", symbol, symbol, account, account, not everything, limit)


@click.command()
@choice
@pass_app
def fills(app: App, symbol: str | None, account: str | None, limit: int) -> None:
    """List executions, the newest first.

    \b
    Examples:
      aegis fills --limit 5
    """
    _show(app, FILLS, "fills", symbol, symbol, account, account, limit)
