"""Calls about the mode that several files make."""


def halt(kit, conn="desk", reason="test"):
    return kit.call(conn, "select halt(%s)", reason)


def mode(kit):
    return kit.call("desk", "select mode from system_mode")


def resume(kit, code, reason="again"):
    return kit.rows("desk", "select * from resume(%s, %s)", reason, code)[0]


def intents(kit):
    return kit.call(kit.db, "select count(*) from trade.order_intents")
