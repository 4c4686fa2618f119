"""The report of `aegis replay`: trades, refusals, cash and equity, and violations of the laws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cli.common.context import App, fetch

if TYPE_CHECKING:
    from cli.database.catalog import Connection
    from cli.replaying.run import Run

STRATEGIES = """
select f.owner as strategy, f.symbol,
    count(distinct f.intent_id) filter (where f.side = 'BUY') as buys,
    count(distinct f.intent_id) filter (where f.side = 'SELL') as sells,
    sum(f.quantity * f.price) as traded, sum(f.fee + f.tax) as fees, sum(f.realized_pnl) as realized_pnl,
    (select p.unrealized_pnl from api.positions as p where p.owner = f.owner and p.symbol = f.symbol)
        as unrealized_pnl
from api.fills as f group by f.owner, f.symbol order by f.owner, f.symbol
"""
TRADES = """
select f.filled_at as at, f.owner as strategy, f.symbol, f.side, f.quantity, f.price, f.fee + f.tax as fees,
    f.realized_pnl, f.reason
from api.fills as f order by f.fill_id desc limit %s
"""
REFUSALS = """
select r.code, regexp_replace(r.message, '[0-9.]+', 'n', 'g') as refusal, count(*) as times
from api.refusals as r group by 1, 2 order by 3 desc, 1, 2 limit 5
"""
EQUITY = "select cash, equity from api.accounts"
TOTALS = "select picks, intents, orders, fills from api.totals"
AUDIT = "select law, violation from api.law_audit order by law, violation"


def report(app: App, conn: Connection, run: Run, trades: int) -> int:
    """Print the report; return the number of violations of the laws."""
    replay, out = run.replay, app.out
    (equity,), (totals,) = fetch(conn, EQUITY), fetch(conn, TOTALS)
    violations = fetch(conn, AUDIT)
    counts, recording = replay.counts, replay.recording
    summary: Mapping[str, Any] = {
        "file": str(run.plan.file),
        "until": replay.link.now,
        "complete": not replay.stopped,
        "events": recording.quotes + recording.trades,
        "applied": counts.applied,
        "superseded": counts.superseded,
        "quarantined": counts.quarantined,
        "malformed": recording.malformed,
        "late": recording.late,
        "prices_put_on_tick": sum(grid.snapped for grid in recording.grids.values()),
        "sizes_cut_to_lot": sum(grid.cut for grid in recording.grids.values()),
        "steps": replay.steps,
        **totals,
        "cash_at_start": run.plan.cash,
        "equity_at_end": equity["equity"],
        "profit": equity["equity"] - run.plan.cash,
        "currency": run.plan.currency,
        "seconds": round(run.seconds, 2),
        "events_per_second": round(counts.total / run.seconds) if run.seconds else None,
        "digest": run.digest,
        "law_audit": len(violations) if violations else "empty",
    }
    per_strategy, refusals = fetch(conn, STRATEGIES), fetch(conn, REFUSALS)
    last = fetch(conn, TRADES, [trades])[::-1]
    if out.json:
        lists = {"strategies": per_strategy, "trades": last, "refusals": refusals, "violations": violations}
        out.record({**summary, "malformed_rows": [str(row) for row in run.malformed], **lists})
        return len(violations)
    out.table(last, empty="No trades.", title=f"The last {len(last)} of {totals['fills']} fills")
    out.table(per_strategy, empty="", title="By strategy")
    out.table(refusals, empty="", title="Refused")
    out.record(summary)
    for row in run.malformed:
        out.say(f"malformed: {row}")
    for violation in violations:
        out.say(f"LAW BROKEN {violation['law']}: {violation['violation']}")
    return len(violations)
