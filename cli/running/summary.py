"""The summary of a run, printed when `aegis up` ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from cli.common.formats import clock, money
from cli.running.snapshot import Snapshot

if TYPE_CHECKING:
    from cli.running.run import Run

COUNTS = ("applied", "superseded", "quarantined")


def summary(run: Run, after: Snapshot, audit: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The lines of the summary."""
    before, status = run.before, after.status
    simulated = ", SIMULATED" if status["is_simulated"] else ""
    yield ""
    why = run.why or "the supervisor ended"
    yield click.style(f"Stopped after {run.elapsed:.0f} s: {why}{simulated}.", bold=True)
    first = "" if run.first_fill is None else f", the first after {run.first_fill:.1f} s"
    yield _line("fills", f"{_gain(before, after, 'fills')}{first}")
    yield _line(
        "created", ", ".join(f"{_gain(before, after, n)} {n}" for n in ("picks", "intents", "orders"))
    )
    yield from _profits(before, after)
    if after.positions:
        held = ", ".join(
            f"{p['qty'].normalize():f} {p['symbol']} ({p['owner']})" for p in after.positions[:6]
        )
        yield _line("still held", f"{len(after.positions)}: {held}")
    yield from _feeds(before, after)
    if run.oversell is not None:
        yield _line("oversell", f"{run.oversell.refusal} ({run.oversell.refusal.sqlstate})")
    mode = f"{status['mode']} since {clock(status['mode_since'])}: {status['mode_reason']}"
    yield _line("mode", click.style(mode, fg=None if status["mode"] == "NORMAL" else "red"))
    for row in after.incidents[:5]:
        yield _line("incident", click.style(f"{row['kind']} {row['subject']}: {row['what']}", fg="red"))
    if after.incidents:
        yield _line("", "see aegis logs, and aegis doctor for what to do")
    if audit:
        yield _line("law audit", click.style(f"{len(audit)} VIOLATIONS", fg="red", bold=True))
        yield from (f"    {law}: {violation}" for law, violation in audit[:20])
    else:
        yield _line("law audit", click.style("empty: every law held", fg="green"))


def next_commands(intent: int | None, code_file: str | None, code: str | None) -> Iterator[str]:
    """The commands that a person may want to run next."""
    if code_file is not None:
        text = f"override code {click.style(code, bold=True)}, kept" if code else "the override code is"
        yield _line("leave HALT", f"{text} in {code_file}")
    yield ""
    yield "Next:"
    yield _next("aegis up", "continue where this stopped")
    yield _next("aegis db psql", "look around: select * from positions;")
    yield _next('aegis halt "why"', "stop all trading until aegis resume")
    if intent is not None:
        yield _next(f"aegis explain {intent}", "the whole story of one decision")
    yield _next("aegis replay FILE", "run a recorded day in seconds")
    yield _next("aegis account add", "add an account of your own")


def _line(name: str, what: str) -> str:
    return f"  {name:<11} {what}"


def _next(command: str, what: str) -> str:
    return f"  {command:<20} {what}"


def _gain(before: Snapshot, after: Snapshot, name: str) -> int:
    return int(after.totals[name]) - int(before.totals[name])


def _profits(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Profit and loss of each account, in this run and since it was added."""
    earlier = {row["account"]: row["realized"] + row["unrealized"] for row in before.accounts}
    for row in after.accounts:
        total = row["realized"] + row["unrealized"]
        gain = total - earlier.get(row["account"], Decimal(0))
        currency = row["currency"]
        yield _line(
            "P&L",
            f"{money(gain, currency, sign=True)} in this run, {money(total, currency, sign=True)} in all; "
            f"net {money(row['equity'], currency)} ({row['account']})",
        )


def _feeds(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """How many of this run's quotes and trades were applied, superseded or quarantined, for each feed."""
    earlier = {row["feed"]: row for row in before.feeds}
    for row in after.feeds:
        for kind in ("quotes", "trades"):
            old = earlier.get(row["feed"], {})
            counts = {name: row[f"{kind}_{name}"] - old.get(f"{kind}_{name}", 0) for name in COUNTS}
            if total := sum(counts.values()):
                parts = ", ".join(f"{count:,} {name}" for name, count in counts.items())
                yield _line(kind, f"{total:,}: {parts} (feed {row['feed']}, {row['status']})")
