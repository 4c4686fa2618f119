"""Compare our books with those that the paper broker keeps itself.

The law audit checks our rows only; this compares both sides.  Everything is read in one snapshot while
nothing is in flight, so every difference is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg

IN_FLIGHT = """
select (select count(*) from trade.orders where closed_at is null)
     + (select count(*) from paper.orders where status = 'OPEN')
     + abs((select count(*) from paper.fills) - (select count(*) from trade.fills))
"""

QUESTIONS = {
    "law": "select law || ': ' || violation from api.law_audit",
    "a fill was lost, doubled or changed": """
        select format('broker %s %s at %s, ours %s %s at %s', p.paper_fill_id, p.quantity, p.price,
            t.broker_fill_id, t.quantity, t.price)
        from paper.fills as p
        join paper.orders as o on o.paper_order_id = p.paper_order_id
        full join (
            select f.*, r.client_order_id
            from trade.fills as f
            join trade.orders as r on r.order_id = f.order_id
        ) as t on t.broker_fill_id = p.paper_fill_id::text
        where (p.quantity, p.price, p.fee, p.tax, o.side, o.client_order_id)
            is distinct from (t.quantity, t.price, t.fee, t.tax, t.side, t.client_order_id)
    """,
    "the broker heard something else than was stored": """
        select format('order %s: %s %s at %s, stored %s %s at %s', p.client_order_id, p.side, p.quantity,
            p.limit_price, t.side, t.quantity, t.limit_price)
        from paper.orders as p
        left join trade.orders as t on t.client_order_id = p.client_order_id
        where (p.side, p.quantity, p.limit_price, p.instrument_id)
            is distinct from (t.side, t.quantity, t.limit_price, t.instrument_id)
    """,
    "the broker heard of an order after we had given it up": """
        select format('order %s, %s', p.client_order_id, t.closed_reason)
        from paper.orders as p
        join trade.orders as t on t.client_order_id = p.client_order_id
        where t.closed_reason in ('not sent in time', 'the broker never had it')
    """,
    "an order was lost": """
        select format('order %s is %s here and unknown to the broker', t.client_order_id, t.status)
        from trade.orders as t
        where t.status not in ('CANCELLED', 'REJECTED')
          and not exists (select from paper.orders as p where p.client_order_id = t.client_order_id)
    """,
    "an intent was carried out more than once": """
        select format('intent %s of %s: the broker filled %s', i.intent_id, i.quantity, sum(p.filled_qty))
        from trade.order_intents as i
        join trade.orders as t on t.intent_id = i.intent_id
        join paper.orders as p on p.client_order_id = t.client_order_id
        group by i.intent_id, i.quantity
        having sum(p.filled_qty) > i.quantity
    """,
    "something is reserved for nobody": """
        select format('intent %s is %s and reserves %s and %s', i.intent_id, i.status, i.reserved_qty,
            i.reserved_cash)
        from trade.order_intents as i
        where (i.closed_at is not null) <> (i.reserved_qty = 0 and i.reserved_cash = 0)
           or (i.side = 'SELL' and i.closed_at is null and i.reserved_qty <> i.quantity - i.filled_qty)
           or (i.side = 'BUY' and i.closed_at is null
               and i.reserved_cash <> (i.quantity - i.filled_qty) * i.worst_price * (1 + i.reserve_rate))
    """,
    "an intent is stuck": """
        select format('intent %s is %s without a live order', i.intent_id, i.status)
        from trade.order_intents as i
        where i.status in ('CLAIMED', 'SUBMITTED', 'PARTIAL_FILLED')
          and not exists (
              select from trade.orders as o where o.intent_id = i.intent_id and o.closed_at is null
          )
    """,
    "holdings differ": """
        select format('%s: ours %s, the broker''s %s', d.item, d.ours, d.theirs)
        from trade.accounts as a
        cross join trade.holdings_differences(a.account_id, api.paper_snapshot(a.account)) as d
    """,
    "an incident is open": """
        select format('%s of %s: %s', i.kind, i.subject, i.detail)
        from risk.incidents as i
        where i.closed_at is null
          and i.kind in ('oversold', 'unmatched_fill', 'disagreement', 'crash_loop', 'breach')
    """,
}


@dataclass
class Answer:
    """The violations found; none if all is correct."""

    found: list[str] = field(default_factory=list)


def violations(conn: psycopg.Connection[Any]) -> Answer | None:
    """Run all queries in one snapshot; return None while something is in flight."""
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        in_flight = conn.execute(IN_FLIGHT).fetchone()
        assert in_flight is not None
        if in_flight[0]:
            return None
        answer = Answer()
        for what, question in QUESTIONS.items():
            answer.found += [f"{what}: {text}" for (text,) in conn.execute(question.encode())]
        return answer
