"""Show during a demo that the database refuses to sell more than is held."""

from __future__ import annotations

from dataclasses import dataclass

from cli.database.catalog import Connection
from workers.runtime.errors import AegisError, NotEnoughQuantity


@dataclass(frozen=True)
class Oversell:
    """An attempt to sell more than is held, and the refusal by the database."""

    quantity: str
    held: str
    symbol: str
    refusal: NotEnoughQuantity

    def lines(self) -> list[str]:
        return [
            f"staged oversell: SELL {self.quantity} {self.symbol} with only {self.held} held",
            f"refused by the database: {self.refusal} ({self.refusal.sqlstate})",
            f"hint: {self.refusal.hint}",
        ]


def stage_oversell(conn: Connection) -> Oversell | None:
    """Try to sell ten times what a position holds, as the desk; None while there is no position."""
    position = conn.execute(
        """
        select p.account, p.symbol, p.owner, trim_scale(p.qty)::text, trim_scale(p.qty * 10)::text
        from positions as p
        join prices as q on q.symbol = p.symbol and q.can_sell
        where p.qty > 0
        order by p.locked_qty > 0, p.opened_at
        limit 1
        """
    ).fetchone()
    if position is None:
        return None
    account, symbol, owner, held, quantity = position
    try:
        conn.execute(
            "select create_intent(%s, %s, 'SELL', %s::numeric, null, 'staged oversell', %s)",
            [account, symbol, quantity, owner],
        )
    except NotEnoughQuantity as refusal:
        return Oversell(quantity, held, symbol, refusal)
    raise AegisError(
        f"the database accepted a sale of {quantity} {symbol}, of which only {held} is held",
        hint="This must never happen. Run aegis halt, then see: select * from law_audit;",
    )
