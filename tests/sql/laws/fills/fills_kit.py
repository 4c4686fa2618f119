"""Reports of fills."""

from tests.sql.laws.market_kit import FILL


def report(
    kit,
    client_order_id,
    fill_id,
    *,
    broker_order_id=None,
    quantity=1,
    price=70_000,
    fee=0,
    tax=0,
    at="now",
    account="demo",
):
    """Report a fill with any values, however odd."""
    when = kit.now if at == "now" else at
    return kit.call(
        "execution", FILL, account, client_order_id, broker_order_id, fill_id, quantity, price, fee, tax, when
    )
