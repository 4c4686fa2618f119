"""Fire exits, amend orders, and read what protects a position."""


def fire(kit, symbols=None, by="exits"):
    return kit.call(by, "select fire_exits(%s::text[])", symbols)


def amends(kit):
    return kit.rows("execution", "select * from claim_amends(%s, 10)", kit.worker())


def answer(kit, function, order, *args):
    places = ", ".join(["%s"] * (len(args) + 2))
    return kit.call("execution", f"select {function}({places})", order.order_id, order.fence, *args)


def sold(kit, order, quantity, price=74_000):
    assert kit.fill(order, quantity, price) == "RECORDED"


def statuses(kit, *orders):
    return [kit.order(order.order_id).status for order in orders]


def intent_of(kit, order):
    return kit.intent_row(kit.order(order.order_id).intent_id)


def guard(kit, owner="momo", symbol="005930"):
    return kit.look(
        "select e.* from trade.position_exits e join market.instruments i using (instrument_id)"
        " where owner = %s and symbol = %s",
        owner,
        symbol,
    )
