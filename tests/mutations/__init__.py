"""Remove one guard of a law at a time and check that a test fails.

A test that passes without the constraint it is about proves nothing.  Each row of the table names a law, the
object that enforces it, the SQL that removes the object, and the test that must then fail.  The test runs in
a copy of the template without that object (the fixture `db` of tests/sql/laws applies the SQL).

    python -m tests.mutations            all of them, as a table; exit status 1 if one survives
    python -m tests.mutations L2 fence   those whose law is, or whose object contains, one of these words
"""

from tests.mutations import (
    amends,
    bounds,
    clock,
    executions,
    fills,
    history,
    home,
    lost,
    modes,
    orders,
    prices,
    reconciliation,
    reservations,
    rules,
    sessions,
    strays,
)
from tests.mutations.kinds import LAWS, Mutation

__all__ = ["IMPLIED", "LAWS", "MUTATIONS", "Mutation"]

MUTATIONS: tuple[Mutation, ...] = (
    *modes.MUTATIONS,
    *reservations.MUTATIONS,
    *orders.MUTATIONS,
    *amends.MUTATIONS,
    *strays.MUTATIONS,
    *lost.MUTATIONS,
    *home.MUTATIONS,
    *fills.MUTATIONS,
    *executions.MUTATIONS,
    *reconciliation.MUTATIONS,
    *prices.MUTATIONS,
    *history.MUTATIONS,
    *clock.MUTATIONS,
    *sessions.MUTATIONS,
    *bounds.MUTATIONS,
    *rules.MUTATIONS,
)

# Objects of the guarded tables that no test can show alone, each with the reason why it is not listed above.
IMPLIED = {
    "trade.balances.balances_not_negative": "what strays may spend is part of it, and not negative",
    "trade.intent_fault: 'quantity_positive'::text": "it would reserve nothing, as only an end may",
    "trade.order_fault: 'side_known'::text": "the side is the intent's",
    "trade.order_intents._900_notify_new": "a hint: L12 is tested without any",
    "trade.order_intents._910_notify_again": "a hint: L12 is tested without any",
    "trade.orders._900_notify": "a hint: L12 is tested without any",
    "trade.cash_entries_idempotency_key": "record_cash names it: without it no cash is booked at all",
}
