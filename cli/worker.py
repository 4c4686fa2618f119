"""`aegis worker`: run one worker process by itself, for systemd, containers and debugging."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from cli.common.context import App, pass_app
from workers.runtime.registry import WORKERS, login_of

if TYPE_CHECKING:
    from cli.database.connect import Database


@click.group()
def worker() -> None:
    """Run a single worker process.

    \b
    Examples:
      aegis worker run supervisor
      aegis worker run execution
    """


@worker.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=click.Choice(list(WORKERS)), metavar="NAME")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_app
def run(app: App, name: str, arguments: tuple[str, ...]) -> None:
    """Run the worker NAME under its own login, until SIGTERM or Ctrl-C.

    NAME is one of supervisor, price_sync, router, exits, execution, reconcile, risk, scheduler, strategy.
    The supervisor runs all others; strategy needs the name of the strategy; price_sync and supervisor take
    a feed.

    This process becomes the worker: it keeps its pid, but only the environment that the worker needs.

    \b
    Examples:
      aegis worker run supervisor
      aegis worker run strategy momentum
      aegis --database aegis worker run execution
    """
    if name == "strategy" and not arguments:
        raise click.UsageError("Which strategy? aegis worker run strategy NAME")
    environment = process_environment(app.database, login_of(name, arguments))
    sys.stdout.flush()
    os.execve(sys.executable, process_command(name, *arguments), environment)


def process_command(name: str, *arguments: str) -> list[str]:
    """The command line of a worker process; -P keeps it from importing modules of the current directory."""
    return [sys.executable, "-P", "-m", "workers", name, *arguments]


def process_environment(database: Database, login: str) -> dict[str, str]:
    """The whole environment of a worker process with this login."""
    from workers.runtime.logins import bare_environment

    return bare_environment() | database.worker_env(login)
