"""`aegis declare-lost`: the way out of an order that neither an answer nor a question ends."""

from __future__ import annotations

import click

from cli.context import App, pass_app


@click.command()
@click.argument("order_id", metavar="ORDER", type=int)
@click.argument("reason")
@pass_app
def declare_lost(app: App, order_id: int, reason: str) -> None:
    """Give up an order that the broker does not have.

    Look at the broker first: its intent ends and what it reserved is free.  If the broker
    reports it afterwards, that is recorded, and the order is cancelled there.

    \b
    Examples:
      aegis declare-lost 4711 "the test exchange was reset"
    """
    app.desk.execute("select declare_lost(%s, %s)", [order_id, reason])
    app.out.say(f"Order {order_id} is given up.")
