"""Run a few mutations, and check that the table of mutations is complete.

To run all of them: `python -m tests.mutations`.
"""

import subprocess
import sys
from pathlib import Path

import psycopg

from tests.mutations import IMPLIED, LAWS, MUTATIONS

ROOT = Path(__file__).parents[3]
HANDFUL = [
    "risk.gate.gate_stays_empty",
    "trade.positions.positions_locked_within_qty",
    "trade.balances.balances_locked_within_cash",
    "trade.order_intents._210_check_change",
    "trade.orders_one_live_per_intent",
    "trade.fills.fills_broker_fill_key",
    "bus.events._100_append_only",
]
GUARDED = (
    *("risk.gate", "risk.system_mode", "risk.scoped_modes", "risk.mode_history"),
    *("trade.positions", "trade.balances", "trade.cash_entries", "trade.order_intents", "trade.orders"),
    *("trade.fills", "trade.reconciliations", "bus.events", "strategy.gate_results"),
    *("trade.busts", "bus.seals", "trade.reconciliation_runs", "risk.account_equity"),
)
GUARDS = """
    select conrelid::regclass || '.' || conname from pg_constraint
    where contype in ('c', 'u') and conrelid = any(%(tables)s::regclass[])
    union
    select tgrelid::regclass || '.' || tgname from pg_trigger
    where not tgisinternal and tgparentid = 0 and tgrelid = any(%(tables)s::regclass[])
    union
    select indexrelid::regclass::text from pg_index
    where indisunique and indrelid = any(%(tables)s::regclass[])
      and not exists (select from pg_constraint where conindid = indexrelid)
    union
    select f || ': ' || (regexp_matches(pg_get_functiondef(f::regproc), 'THEN (''\\w+''::text)', 'g'))[1]
    from unnest(array['trade.intent_fault', 'trade.order_fault']) as f
"""
ELSEWHERE = {
    "risk.scoped_modes.scoped_modes_scope_known": "a word of the configuration, not a law",
    "strategy.gate_results.gate_results_gate_known": "there are three gates, not a law",
}


def test_a_handful_of_laws_taken_out_is_noticed():
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutations", *HANDFUL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"{len(HANDFUL)} of {len(HANDFUL)} killed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_every_guard_of_the_tables_of_the_laws_is_taken_out_once(db):
    guards = {row[0] for row in db.execute(GUARDS, {"tables": list(GUARDED)})}
    listed = {mutation.removed for mutation in MUTATIONS}

    assert guards - listed - set(IMPLIED) - set(ELSEWHERE) == set()
    assert set(IMPLIED) <= guards, "what is gone needs no excuse"


def test_every_test_that_is_named_exists():
    for named in MUTATIONS:
        assert f"def {named.function}(" in named.file.read_text(), named.test


def test_no_two_files_of_the_laws_share_a_name():
    names = [path.name for path in LAWS.rglob("test_*.py")]

    assert len(names) == len(set(names))


def test_every_mutation_can_be_made(db):
    """A mutation names a guard or quotes the text of a function; a change of either must change it too."""
    broken = {}
    for mutation in MUTATIONS:
        try:
            with db.transaction(force_rollback=True):
                db.execute(mutation.sql.encode())
        except psycopg.Error as error:
            broken[mutation.removed] = str(error)

    assert broken == {}
