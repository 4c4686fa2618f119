"""`aegis doctor`: check everything that can be wrong, and say what to do about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.common.context import App, pass_app
from cli.common.options import json_option

if TYPE_CHECKING:
    from cli.checks.findings import Finding

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@json_option
@pass_app
def doctor(app: App) -> None:
    """Check everything and say what to do; the exit status is 1 when something is broken.

    \b
    Examples:
      aegis doctor
      aegis doctor --json | jq '.[] | select(.state != "ok")'
    """
    from cli.checks.run import run_checks

    found = list(run_checks(app))
    if app.out.json:
        app.out.table([{"check": name, **vars(finding)} for name, finding in found])
    else:
        for name, finding in found:
            _show(name, finding)
    if any(finding.state == "fail" for _, finding in found):
        sys.exit(1)


def _show(name: str, finding: Finding) -> None:
    state = click.style(f"{finding.state:<5}", fg=COLOURS[finding.state])
    click.echo(f"{state} {name:<11} {finding.what}")
    if finding.todo and finding.state != "ok":
        click.echo(f"{'':<17} {click.style('do', fg='cyan')}: {finding.todo}")
