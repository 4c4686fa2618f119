"""`aegis replay`: run a recorded day through the same rules and workers, in seconds."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.context import App, fetch, pass_app
from cli.output import json_option

if TYPE_CHECKING:
    from cli.database.catalog import Connection
    from cli.database.connect import Database
    from workers.feeds.recording import Malformed
    from workers.replay import Instrument, Plan, Replay, StrategyPlan

EXAMPLES = {
    "momentum": "workers.strategies.momentum:Momentum",
    "mean_reversion": "workers.strategies.mean_reversion:MeanReversion",
}
TUNED = {"momentum": {"threshold": 1.0}}  # for an order book that is quoted many times a second
HOME = {"KRX": ("KRW", 100_000_000), "SIM": ("KRW", 100_000_000)}  # currency and cash by venue
ELSEWHERE = ("USDT", 100_000)
TICKS = (("0.1", 1), ("0.01", 2), ("0.0001", 4), ("0.00000001", 8))  # tick tables and their decimals
MALFORMED_SHOWN = 5
INTERRUPTED = 130

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


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME|CLASS",
    help="momentum, mean_reversion, package.module:Class or file.py:Class; may be repeated. Default: both.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME.PARAM=VALUE", help="A parameter of a strategy."
)
@click.option(
    "--exits", default="scalp", show_default=True, metavar="PROFILE", help="How positions are protected."
)
@click.option(
    "--step", default="50ms", show_default=True, metavar="TIME", help="Events of a step arrive together."
)
@click.option(
    "--venue", metavar="NAME", help="Where it was recorded (default: the first word of the file's name)."
)
@click.option("--currency", metavar="CODE", help="Currency of the account (default: that of the venue).")
@click.option("--cash", type=click.IntRange(1), help="What the account begins with (default: 100,000 USDT).")
@click.option(
    "--trades", default=10, show_default=True, metavar="N", help="How many of the last trades to print."
)
@click.option(
    "--thorough", is_flag=True, help="Also run the drains that would find nothing; the result is the same."
)
@click.option("--keep", is_flag=True, help="Keep the database to look around in.")
@json_option
@pass_app
def replay(app: App, /, file: Path, trades: int, keep: bool, **options: Any) -> None:
    """Run the recording FILE through the same rules and workers.

    FILE is CSV, plain or gzipped: ts,symbol,bid,bid_qty,ask,ask_qty,last,last_qty.  It runs in a database of
    its own, with the paper broker, in the time of the recording and as fast as this machine can; the same
    input gives the same digest.  Ctrl-C stops and tells what happened so far.

    \b
    Examples:
      aegis replay binance_usdm_20240808.csv.gz
      aegis replay day.csv.gz --strategy my_strategy.py:Dip --set dip.percent=0.5
      aegis replay day.csv.gz --step 10ms --json --keep
    """
    survey = Survey.of(file)
    plan = _plan(file, survey, **options)
    with _own_database(app, keep=keep) as database:
        for strategy in plan.strategies:
            database.ensure_strategy_login(strategy.name)
        run = Run(app, plan, survey.events)
        asyncio.run(run.serve(database))
        with database.admin() as conn:
            violations = _report(app, conn, run, trades)
        if keep:
            app.out.say(f"\nKept: aegis --database {database.name} db psql")
    sys.exit(1 if violations else INTERRUPTED if run.replay.stopped else 0)


@dataclass
class Survey:
    """What a recording holds, from reading it once before it is replayed."""

    events: int = 0
    malformed: int = 0
    first: datetime | None = None
    decimals: dict[str, tuple[int, int]] = field(default_factory=dict)
    """How many decimals the prices and the sizes of each symbol need."""

    @classmethod
    def of(cls, file: Path) -> Survey:
        from workers.feeds import Quote
        from workers.feeds.recording import Recording

        found, recording = cls(), Recording(file)
        for found.events, event in enumerate(recording.events(), start=1):
            found.first = found.first or event.ts
            prices, sizes = found.decimals.get(event.symbol, (0, 0))
            if type(event) is Quote:
                prices = max(prices, _decimals(event.bid), _decimals(event.ask))
                sizes = max(sizes, _decimals(event.bid_size), _decimals(event.ask_size))
            found.decimals[event.symbol] = prices, sizes
        found.malformed = recording.malformed
        return found

    def instruments(self, venue: str) -> list[Instrument]:
        """The symbols; tick and lot are the steps in which their prices and sizes move."""
        from workers.replay import Instrument

        krx = venue in ("KRX", "SIM")
        return [
            Instrument(symbol, "KRX" if krx else _tick_table(prices), f"{Decimal(1).scaleb(-sizes):f}")
            for symbol, (prices, sizes) in sorted(self.decimals.items())
        ]


class Run:
    """The replay of one call of the command: how it is stopped, and what is seen of it meanwhile."""

    def __init__(self, app: App, plan: Plan, events: int) -> None:
        self.app, self.plan, self.events = app, plan, events
        self.malformed: list[Malformed] = []
        self.seconds = 0.0
        self.digest = ""
        self.replay: Replay
        self._told = self._began = time.monotonic()
        self._part = 0

    async def serve(self, database: Database) -> None:
        import asyncpg

        from workers.replay import Replay

        with database.admin() as conn:  # the same place, for the other driver
            info = conn.info
            where: dict[str, Any] = {
                "host": info.host,
                "port": info.port,
                "user": info.user,
                "password": info.password or None,
                "database": info.dbname,
                "ssl": info.get_parameters().get("sslmode") if database.external else None,
            }
        link = await asyncpg.connect(**where, server_settings={"application_name": "aegis replay"})
        try:
            self.replay = Replay(
                self.app.settings, link, self.plan, progress=self._progress, malformed=self._keep
            )
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
            self._told = self._began = time.monotonic()
            await self.replay.run()
            self.seconds = time.monotonic() - self._began
            self.digest = await self.replay.digest()
        finally:
            await link.close()
            if sys.stderr.isatty():
                click.echo("\r\x1b[K", nl=False, err=True)

    def _interrupt(self) -> None:
        self.replay.request_stop()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)  # the second one ends it at once

    def _keep(self, row: Malformed) -> None:
        if len(self.malformed) < MALFORMED_SHOWN:
            self.malformed.append(row)

    def _progress(self, replay: Replay) -> None:
        """A line that moves on a terminal, else one for each tenth of the way."""
        now, done = time.monotonic(), replay.counts.total
        part = 10 * done // max(self.events, 1)
        moving = sys.stderr.isatty()
        if (now - self._told < 0.2) if moving else part == self._part:
            return
        self._told, self._part = now, part
        speed = done / (now - self._began)
        line = f"{done / max(self.events, 1):4.0%}  {replay.link.now:%Y-%m-%d %H:%M:%S}  "
        line += f"{done:,} of {self.events:,} events, {speed:,.0f}/s"
        click.echo(f"\r{line}\x1b[K" if moving else line, nl=not moving, err=True)


def _plan(
    file: Path,
    survey: Survey,
    strategies: Sequence[str],
    settings: Sequence[str],
    exits: str,
    step: str,
    venue: str | None,
    currency: str | None,
    cash: int | None,
    thorough: bool,
) -> Plan:
    from workers.replay import Plan, ReplayError, step_end

    if survey.first is None:
        raise ReplayError(f"{file} holds no event", hint=f"{survey.malformed} of its rows are malformed.")
    venue = venue or file.name.partition(".")[0].partition("_")[0].upper()
    home_currency, home_cash = HOME.get(venue, ELSEWHERE)
    width = _duration(step)
    return Plan(
        file=file,
        venue=venue,
        currency=currency or home_currency,
        cash=Decimal(cash or home_cash),
        instruments=survey.instruments(venue),
        strategies=_strategies(strategies or list(EXAMPLES), settings, exits),
        start=step_end(survey.first, width) - width,
        step=width,
        thorough=thorough,
    )


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)(ms|s)", text)
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{text!r} is not a time such as 50ms or 1s", param_hint="--step")
    return timedelta(milliseconds=int(match[1]) * (1 if match[2] == "ms" else 1000))


def _decimals(number: str) -> int:
    """How many decimals a number needs: 1 for 61800.20."""
    return len(number.partition(".")[2].rstrip("0"))


def _tick_table(decimals: int) -> str:
    return next((name for name, most in TICKS if decimals <= most), TICKS[-1][0])


def _strategies(wanted: Sequence[str], settings: Sequence[str], exits: str) -> list[StrategyPlan]:
    from workers.replay import ReplayError, StrategyPlan

    chosen: dict[str, tuple[str, dict[str, Any]]] = {}
    for want in wanted:
        cls = EXAMPLES.get(want, want)
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.rpartition(":")[2]).lower()
        chosen[name] = cls, dict(TUNED.get(want, {}))
    for setting in settings:
        match = re.fullmatch(r"(\w+)\.(\w+)=(.+)", setting)
        if match is None or match[1] not in chosen:
            raise ReplayError(
                f"{setting!r} sets no parameter of {', '.join(chosen)}", hint="Write NAME.PARAM=VALUE."
            )
        chosen[match[1]][1][match[2]] = _number(match[3])
    return [StrategyPlan(name, cls, parameters, exits) for name, (cls, parameters) in chosen.items()]


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@contextlib.contextmanager
def _own_database(app: App, *, keep: bool) -> Iterator[Database]:
    """A new database replay_<n>, dropped at the end unless it is kept.

    Who replays holds the number's lock, so a database without its lock is what a killed replay left: it is
    dropped and its number used again, unless it was kept.
    """
    from cli.database.connect import Database

    server = Database.resolve(app.settings, name="postgres")
    server.ensure_running()
    started_here = server.server is not None and server.server.started_here
    try:
        with server.admin() as lock:
            number = next(n for n in range(1, 1000) if _is_free(lock, f"replay_{n}"))
            database = Database(app.settings, f"replay_{number}", server.server)
            database.drop()
            try:
                database.migrate("replay")
                if keep:
                    lock.execute(f"comment on database replay_{number} is 'kept'".encode())
                yield database
            finally:
                if not keep:
                    database.drop()
    finally:
        if started_here and not keep and server.server is not None:
            server.server.stop()


def _is_free(conn: Connection, name: str) -> bool:
    row = conn.execute(
        """
        select pg_try_advisory_lock(hashtext(%s)) and not exists (
            select from pg_database where datname = %s and shobj_description(oid, 'pg_database') = 'kept'
        )
        """,
        [name, name],
    ).fetchone()
    return row is not None and bool(row[0])


def _report(app: App, conn: Connection, run: Run, trades: int) -> int:
    """Print what happened; return how many violations of the laws were found."""
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
    out.table(last, empty="No trade.", title=f"The last {len(last)} of {totals['fills']} fills")
    out.table(per_strategy, empty="", title="By strategy")
    out.table(refusals, empty="", title="Refused")
    out.record(summary)
    for row in run.malformed:
        out.say(f"malformed: {row}")
    for violation in violations:
        out.say(f"LAW BROKEN {violation['law']}: {violation['violation']}")
    return len(violations)
