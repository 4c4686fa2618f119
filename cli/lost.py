"""`aegis declare-lost`: end an order that neither an answer nor a query of the broker has ended."""

from __future__ import annotations

import click

from cli.common.context import App, pass_app


@click.command()
@click.argument("order_id", metavar="ORDER", type=int)
@click.argument("reason")
@pass_app
def declare_lost(app: App, order_id: int, reason: str) -> None:
    """Give up an order that the broker does not have.

    Check at the broker first: the order's intent ends and its reservation is released.  If the broker reports
    the order afterwards, that is recorded, and the order is cancelled there.

    \b
    Examples:
      aegis declare-lost 4711 "the test exchange was reset"
    """
    app.desk.execute("select declare_lost(%s, %s)", [order_id, reason])
    app.out.say(f"Order {order_id} is declared lost.")
