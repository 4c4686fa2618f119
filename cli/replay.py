"""`aegis replay`: run a recorded day through the same rules and workers, in seconds."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.common.context import App, pass_app
from cli.common.options import json_option
from cli.recordings import check_venue, tick_tables
from cli.replay_plan import Wish, positive
from cli.replay_report import report

if TYPE_CHECKING:
    from cli.database.catalog import Connection
    from cli.database.connect import Database
    from workers.feeds.recording import Malformed
    from workers.replay import Plan, Replay

INTERRUPTED = 130


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
@click.option(
    "--tick",
    metavar="TABLE|SIZE",
    help="Its price steps: a table or a size (default: KRX on KRX and SIM, else the decimals of its prices).",
)
@click.option(
    "--lot",
    callback=positive,
    metavar="SIZE",
    help="Lot size; sizes are rounded down to it (default: the decimals of its sizes).",
)
@click.option("--sort", is_flag=True, help="Bring the rows into the order of their times first, in memory.")
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

    FILE is CSV, plain or gzipped: ts,symbol,bid,bid_qty,ask,ask_qty,last,last_qty.  It runs in its own
    database, with the paper broker and the recording's clock, as fast as this machine can; the same input
    gives the same digest.  Ctrl-C stops it and reports what happened so far.

    \b
    Examples:
      aegis replay binance_usdm_20240808.csv.gz
      aegis replay day.csv.gz --strategy my_strategy.py:Dip --set dip.percent=0.5
      aegis replay day.csv.gz --step 10ms --json --keep
      aegis replay merged.csv --venue BINANCE --tick 0.01 --lot 0.001 --sort
    """
    from workers.feeds.survey import HEAD, Survey

    wish = Wish.of(file, **options)
    head = Survey.of(file, most=HEAD)  # report a bad file at once, not after reading a whole day
    head.check(sort=wish.sort)
    with _own_database(app, keep=keep) as database:
        with database.admin() as conn:
            check_venue(conn, wish.venue, head.first)
            tables = tick_tables(conn)
        plan, events = wish.plan(tables)
        for strategy in plan.strategies:
            database.ensure_strategy_login(strategy.name)
        run = Run(app, plan, events)
        asyncio.run(run.serve(database))
        with database.admin() as conn:
            violations = report(app, conn, run, trades)
        if keep:
            app.out.say(f"\nKept: aegis --database {database.name} db psql")
    sys.exit(1 if violations else INTERRUPTED if run.replay.stopped else 0)


class Run:
    """One replay: runs it, stops it on Ctrl-C, and shows its progress."""

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

        with database.admin() as conn:  # the same database, for the other driver
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
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)  # a second Ctrl-C ends it at once

    def _keep(self, row: Malformed) -> None:
        from workers.feeds.recording import TOLD

        if len(self.malformed) < TOLD:
            self.malformed.append(row)

    def _progress(self, replay: Replay) -> None:
        """Show the progress: one line that is overwritten on a terminal, else a line every 10 %."""
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


@contextlib.contextmanager
def _own_database(app: App, *, keep: bool) -> Iterator[Database]:
    """A new database replay_<n>, dropped at the end unless it is kept.

    A running replay holds an advisory lock for its number.  A database whose lock is free was left by a
    killed replay: drop it and use its number again, unless it was kept.
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
