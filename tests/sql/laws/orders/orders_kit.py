"""What a worker reports of its orders, and what it asks for."""

UNIQUE = "23505"


def call(kit, query, order, *more):
    return kit.call("execution", f"select {query}", order.order_id, order.fence, *more)


def unsend(kit, order):
    return call(kit, "unsend(%s, %s)", order)


def unknown(kit, order):
    return call(kit, "order_unknown(%s, %s, 'timeout')", order)


def not_found(kit, order):
    return call(kit, "order_not_found(%s, %s)", order)


def doubts(kit, limit=10):
    return kit.rows("execution", "select * from claim_doubts(%s, %s)", kit.worker(), limit)


def claimed_intent(kit, **row):
    intent_id = kit.insert_intent(**row)
    kit.db.execute("update trade.order_intents set status = 'CLAIMED' where intent_id = %s", [intent_id])
    return intent_id


def cancels(kit):
    return kit.rows("execution", "select * from claim_cancels(%s, 10)", kit.worker())


def answer(kit, function, order, *args):
    """Answer with the fence that the order has now, not the one that was handed out."""
    places = ", ".join(["%s"] * (len(args) + 2))
    fence = kit.order(order.order_id).fence
    return kit.call("execution", f"select {function}({places})", order.order_id, fence, *args)


def never_had(kit, order):
    answer(kit, "order_unknown", order, "timeout")
    kit.advance(seconds=7)
    assert answer(kit, "order_not_found", order) == "CANCELLED"


def is_stray(kit, order):
    return kit.order(order.order_id).stray_since is not None
