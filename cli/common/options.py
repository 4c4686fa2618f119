"""Options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli.common.context import App

Command = TypeVar("Command", bound=Callable[..., Any])

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def json_option(command: Command) -> Command:
    """Add --json to a command that prints data, so that it may also follow the command's name."""

    def switch(context: click.Context, _: click.Parameter, on: bool) -> None:
        if on:
            context.ensure_object(App).out.json = True

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=switch, help="Print JSON for programs."
    )(command)


def duration(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """A time such as 60s, 5m or 1h, in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a time such as 60s, 5m or 1h")
    return float(match[1]) * UNITS[match[2]]
