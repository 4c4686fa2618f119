"""A flood of picks delays no other strategy, and concurrent picks do not exceed a limit together."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.attack.conftest import HOSTILE
from tests.e2e.system import SYMBOLS, System
from workers.runtime.errors import LimitExceeded

HONEST = "aegis_s_mean_reversion"
FLOOD = "select propose(%s, 'BUY', 'ADD', 1)"
ASK = "select propose(%s, 'SELL', 'EXIT', 1, p_reason => %s)"
SESSIONS, SECONDS = 4, 3.0


def test_a_flood_of_picks_delays_nobody_else(trading: System) -> None:
    until = time.monotonic() + SECONDS

    def flood(_: int) -> int:
        made = 0
        with trading.login(HOSTILE) as conn:
            while time.monotonic() < until:
                try:
                    conn.execute(FLOOD, [SYMBOLS[0]])
                    made += 1
                except LimitExceeded:
                    pass
        return made

    waits = []
    with ThreadPoolExecutor(SESSIONS) as pool, trading.login(HONEST) as honest:
        floods = [pool.submit(flood, n) for n in range(SESSIONS)]
        while time.monotonic() < until:
            asked = time.monotonic()
            pick = honest.execute(ASK, [SYMBOLS[1], "honest"]).fetchone()
            assert pick is not None
            trading.wait_for("select status <> 'NEW' from api.picks where pick_id = %s", [pick[0]], within=5)
            waits.append(time.monotonic() - asked)
            time.sleep(0.15)  # below the strategy's rate limit
        made = sum(done.result() for done in floods)

    assert max(waits) < 1.0, waits
    assert made <= 600 + 10 * (SECONDS + 5)
    assert trading.value("select count(*) from strategy.picks where status = 'NEW'") <= 2 * 100


def test_two_strategies_do_not_pass_a_limit_together(trading: System) -> None:
    """Both propose large buys of one symbol again and again, in concurrent sessions."""
    trading.admin.execute("update strategy.strategies set budget = 1e12")
    share = "select value from risk.limits where limit_name = 'max_position_share'"

    def want(login: str) -> None:
        with trading.login(login) as conn:
            for kind in ("ENTRY", "ADD") * 4:
                with suppress(LimitExceeded):
                    conn.execute("select propose(%s, 'BUY', %s, 1000000)", [SYMBOLS[2], kind])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(want, [HOSTILE, HONEST] * 4))
    trading.wait_for("select not exists (select from strategy.picks where status = 'NEW')")

    worst = trading.value(
        f"""
        select coalesce(sum(h.worth), 0) / (select equity from api.accounts) <= ({share}) * 1.01
        from (
            select p.qty * p.avg_price as worth
            from trade.positions as p join market.instruments as i using (instrument_id) where i.symbol = %s
            union all
            select (n.quantity - n.filled_qty) * n.worst_price
            from trade.order_intents as n join market.instruments as i using (instrument_id)
            where i.symbol = %s and n.side = 'BUY' and n.closed_at is null
        ) as h
        """,
        [SYMBOLS[2], SYMBOLS[2]],
    )
    assert worst
