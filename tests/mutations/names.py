"""Names of tables and tests that several files of mutations use."""

INTENTS, ORDERS, FILLS = "trade.order_intents", "trade.orders", "trade.fills"
POSITIONS, BALANCES, CASH = "trade.positions", "trade.balances", "trade.cash_entries"
HALT_WAITS = "test_halt_races.py::test_a_halt_waits_for_an_intent_in_flight"
MODES_KEPT = "test_unknown_mode.py::test_a_mode_and_its_history_cannot_be_removed"
FACTS_KEPT = "test_fills.py::test_facts_are_only_added_to"
STRAYS, LOST = "test_strays.py::test_", "test_lost.py::test_"
EXECUTIONS, UNMATCHED = "test_executions.py::test_", "test_unmatched.py::test_"
