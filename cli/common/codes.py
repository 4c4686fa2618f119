"""Read an override code: typed without echo, from a file, or from a pipe.

Never from the command line: `ps` shows it to everybody on the machine, and the shell keeps it in its history.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from workers.runtime.errors import AegisError


def code_file_option(name: str = "--code-file", what: str = "The override code") -> Callable[[Any], Any]:
    """An option that names the file that contains a code; `-` is standard input."""
    text = f"{what}: the first line of FILE; - is standard input. Default: ask for it."
    return click.option(name, type=click.File(), metavar="FILE", help=text)


def read_code(file: Any, prompt: str = "Override code", *, confirm: bool = False, empty: bool = False) -> str:
    """Read a code: the first line of the file, else typed at the terminal, else the next line of a pipe."""
    if file is not None:
        code = str(file.readline().strip())
    elif sys.stdin.isatty():
        default = "" if empty else None
        code = click.prompt(
            prompt, default, hide_input=True, show_default=False, err=True, confirmation_prompt=confirm
        )
    else:
        code = sys.stdin.readline().strip()
    if not code and not empty:
        raise AegisError(f"no {prompt.lower()} was given", hint="Type it, or name a file: --code-file FILE")
    return code
