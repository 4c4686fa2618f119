"""`aegis up` and `aegis down`: start everything, and stop it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.common.context import App, pass_app
from cli.common.options import duration
from cli.running import run_file

if TYPE_CHECKING:
    from cli.database.connect import Database
    from cli.running.run import Run
    from workers.feeds import Feed


@click.command()
@click.option("--feed", metavar="FEED", help="sim, sim:SEED or replay:FILE.csv.gz  [default: sim]")
@click.option(
    "--speed", default="1", show_default=True, metavar="1|10|max", help="How fast the feed's clock runs."
)
@click.option("--for", "seconds", callback=duration, metavar="60s", help="Stop after this time.")
@click.option("--plain", is_flag=True, help="Print lines instead of a live screen.")
@pass_app
def up(app: App, feed: str | None, speed: str, seconds: float | None, plain: bool) -> None:
    """Start everything and watch it trade; Ctrl-C stops it.

    Starts the embedded server unless AEGIS_DATABASE_URL names another, brings the database up to date with
    the code, and runs all workers.  The demo trades paper money on a simulated market.  A second start
    continues where the first stopped, with its positions and its mode.

    \b
    Examples:
      aegis up
      aegis up --for 60s
      aegis up --feed sim:7 --speed 10
      aegis up --feed replay:binance_usdm_20240808.csv.gz --speed max
    """
    from workers.feeds import make_feed

    if feed and feed.startswith("replay:"):
        feed = f"replay:{Path(feed.removeprefix('replay:')).expanduser().absolute()}"
    source = make_feed(feed or "sim", speed)
    database = app.database
    owner = run_file.Owner(os.getpid(), feed or "sim")
    file = run_file.path_of(app.settings.data_dir, database.name)
    with run_file.only_one(file, owner), _server(database, owner, file):
        code = _prepare(database, source, asked=feed is not None)
        run = _make_run(database, [feed or "sim", speed], source, seconds, plain or not sys.stdout.isatty())
        _tell_mode(run)
        try:
            asyncio.run(run.serve())
        finally:
            sound = _tell_summary(run, code)
    if not sound:
        sys.exit(1)


@contextmanager
def _server(database: Database, owner: run_file.Owner, file: Path) -> Iterator[None]:
    """Start or join the server; stop it afterwards if a run started it and no other database needs it."""
    began = time.monotonic()
    database.ensure_running()
    if database.server is not None:
        owner.started_server |= database.server.started_here
        run_file.write(file, owner)
        how = "started" if database.server.started_here else "joined"
        click.echo(f"PostgreSQL {how} in {time.monotonic() - began:.1f} s.")
    try:
        yield
    finally:
        if database.server is not None and (owner.started_server or database.server.started_here):
            if others := run_file.others(file):
                click.echo(f"PostgreSQL keeps running for {', '.join(others)}.")
            else:
                database.server.stop()


def _prepare(database: Database, source: Feed, *, asked: bool) -> str | None:
    """Prepare the database before workers start; return a new override code if it may be shown."""
    from cli.replaying.recordings import check_played
    from cli.running.demo import code_file, seed
    from workers.feeds.recording import RecordingFeed

    began = time.monotonic()
    report = database.migrate(_kind(database, asked=asked))
    ready = f"{len(report.applied)} migrations applied" if report.applied else "up to date"
    click.echo(f"{database.name} ({report.kind}): {ready} in {time.monotonic() - began:.1f} s.")
    # Ask the database before anything starts whether it accepts this feed; its refusal says why not.
    with database.connect("aegis_w_price_sync") as conn, conn.transaction(force_rollback=True):
        conn.execute("select open_feed(%s, %s, %s)", [source.name, source.venue, source.source])
    with database.desk() as conn:
        run_file.refuse_second_supervisor(conn)
        code = seed(conn, source.venue, code_file(database)) if report.kind == "demo" else None
        if isinstance(source, RecordingFeed):
            for notice in check_played(conn, source):
                click.echo(notice)
        for (name,) in conn.execute("select strategy from strategies").fetchall():
            database.ensure_strategy_login(name)
    if code is None:
        return None
    if not sys.stdout.isatty():  # a log or journal is kept too long to contain a code
        click.echo(f"The override code, needed to leave HALT, is in {code_file(database)}.")
        return None
    click.echo(f"The override code, needed to leave HALT, is {code} (kept in {code_file(database)}).")
    return code


def _kind(database: Database, *, asked: bool) -> str | None:
    """Demo for a new database that is external with --feed, or whose name implies no kind; else None."""
    from cli.database.history import is_deployed

    if database.exists():
        with database.admin() as conn:
            if is_deployed(conn):
                return None
    return "demo" if database.default_kind is None or (asked and database.external) else None


def _make_run(database: Database, feed: list[str], source: Feed, seconds: float | None, plain: bool) -> Run:
    from cli.running.run import Run, log_to_file, supervisor_settings
    from cli.running.snapshot import look
    from workers.supervisor import Supervisor

    log_to_file(database.settings)
    with database.desk() as conn:
        before = look(conn, events=1)
    supervisor = Supervisor(supervisor_settings(database), *feed)
    return Run(
        database, supervisor, before, seconds=seconds, recording=source.source == "replay", plain=plain
    )


def _tell_mode(run: Run) -> None:
    """Print the mode first unless it is NORMAL, since it survives a restart."""
    status = run.before.status
    if status["mode"] == "NORMAL":
        return
    click.secho(
        f"The mode is {status['mode']} since {status['mode_since']:%Y-%m-%d %H:%M:%S}: "
        f"{status['mode_reason']}",
        fg="red",
        bold=True,
    )
    then = 'aegis adopt "why", then aegis resume "why"' if status["is_foreign"] else 'aegis resume "why"'
    click.echo(f"A restart does not change the mode. To resume: {then}.")


def _tell_summary(run: Run, code: str | None) -> bool:
    """Print the summary; return whether every law held and no worker was given up."""
    from cli.running.demo import code_file
    from cli.running.snapshot import look
    from cli.running.summary import next_commands, summary

    database = run.database
    with database.desk() as conn:
        after = look(conn)
        audit = conn.execute("select law, violation from law_audit").fetchall()
        last = conn.execute("select max(intent_id) from fills").fetchone()
    file = code_file(database)
    for line in summary(run, after, audit):
        click.echo(line)
    for line in next_commands(last[0] if last else None, str(file) if file.exists() else None, code):
        click.echo(line)
    return not audit and not run.given_up


@click.command()
@pass_app
def down(app: App) -> None:
    """Stop the running `aegis up` and the embedded server.

    Workers finish their current work first; nothing is lost.

    \b
    Examples:
      aegis down
      aegis --database aegis down
    """
    from cli.database.embedded import Server, ServerError

    database = app.database
    file = run_file.path_of(app.settings.data_dir, database.name)
    owner = run_file.stop(file)
    name = database.name
    click.echo(
        f"Stopped aegis up (pid {owner.pid})." if owner else f"aegis up is not running for {name} here."
    )
    if database.external:
        return
    if others := run_file.others(file):
        click.echo(f"PostgreSQL keeps running for {', '.join(others)}.")
        return
    try:
        Server.attach(database.directory).stop()
    except ServerError as error:
        if "no server runs" not in error.message:
            raise
        click.echo("PostgreSQL is stopped.")
    else:
        click.echo("Stopped PostgreSQL, which was still running.")
