"""The command `aegis`: runs the subcommand, and prints refusals as a message and a hint.

A subcommand's module is imported when it runs.  For the list of commands its first line of help is read from
the source instead, because importing twenty modules and two database drivers takes half a second.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from cli.common.context import App
from workers.runtime.errors import AegisError

# Heading in the help: {command name: "module:attribute"}.
COMMANDS: dict[str, dict[str, str]] = {
    "Run it": {
        "up": "cli.up:up",
        "down": "cli.up:down",
        "replay": "cli.replay:replay",
    },
    "Look at it": {
        "status": "cli.status:status",
        "top": "cli.status:top",
        "positions": "cli.show:positions",
        "intents": "cli.show:intents",
        "orders": "cli.show:orders",
        "fills": "cli.show:fills",
        "explain": "cli.explain:explain",
        "incidents": "cli.incidents:incidents",
    },
    "Stop it": {
        "halt": "cli.halt:halt",
        "safe": "cli.halt:safe",
        "resume": "cli.halt:resume",
        "set-code": "cli.halt:set_code",
        "approvals": "cli.approve:approvals",
        "approve": "cli.approve:approve",
        "reject": "cli.approve:reject",
        "declare-lost": "cli.lost:declare_lost",
    },
    "Set it up": {
        "account": "cli.account:account",
        "universe": "cli.universe:universe",
        "strategy": "cli.strategy:strategy",
    },
    "Look after it": {
        "backup": "cli.backup:backup",
        "restore": "cli.backup:restore",
        "adopt": "cli.adopt:adopt",
        "audit": "cli.audit:audit",
        "logs": "cli.logs:logs",
        "worker": "cli.worker:worker",
        "db": "cli.db:db",
        "doctor": "cli.doctor:doctor",
    },
}


class Failure(click.ClickException):
    """A refusal or failure shown as a message and a hint, without a traceback."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None, code: str | None, *, as_json: bool) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code
        self.as_json = as_json

    def show(self, file: Any = None) -> None:
        if self.as_json:
            from cli.common.formats import to_json

            error = {"message": self.message, "hint": self.hint, "code": self.code}
            click.echo(to_json({"error": error}), err=True)
            return
        word = "refused" if self.code and self.code.startswith("TR") else "error"
        code = click.style(f" ({self.code})", dim=True) if self.code else ""
        click.echo(f"{click.style(word, fg='red')}: {self.message}{code}", err=True)
        if self.hint:
            click.echo(f"{click.style('hint', fg='cyan')}: {self.hint}", err=True)


class LazyGroup(click.Group):
    """A group that imports a command only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for section in COMMANDS.values():
            if cmd_name in section:
                module, attribute = section[cmd_name].split(":")
                command: click.Command = getattr(import_module(module), attribute)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, section in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, short_help(target)) for name, target in section.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean {close[0]}?", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if failure := as_failure(error, as_json=ctx.ensure_object(App).out.json):
                raise failure from error
            raise


def as_failure(error: Exception, *, as_json: bool = False) -> Failure | None:
    """The message and hint of an error that people can act on; None for a bug, which keeps its traceback."""
    code = getattr(error, "sqlstate", None)
    if isinstance(error, AegisError):
        return Failure(error.message, error.hint, code, as_json=as_json)
    if (psycopg := sys.modules.get("psycopg")) and isinstance(error, psycopg.Error):
        diag = error.diag
        return Failure(diag.message_primary or str(error), diag.message_hint, code, as_json=as_json)
    return None


def short_help(target: str) -> str:
    """The first line of a command's docstring, without running its module."""
    module, attribute = target.split(":")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").split("\n")[0]
    return ""


def version() -> str:
    try:
        return metadata.version("aegis")
    except metadata.PackageNotFoundError:
        return "(not installed: run from a checkout)"


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"aegis {version()}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print data as JSON, for programs.")
@click.option(
    "--database", metavar="NAME", help="Use another database of the same server (default: AEGIS_DATABASE)."
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
@click.pass_context
def cli(ctx: click.Context, as_json: bool, database: str | None) -> None:
    """A trading core that lives in PostgreSQL.

    \b
    Examples:
      aegis up                    start everything and watch the demo trade
      aegis halt "fat finger"     stop all trading now
      aegis db psql               look around with SQL
    """
    ctx.obj = App(database, json=as_json)


def main() -> None:
    """Entry point of the console script."""
    cli.main(prog_name="aegis")


if __name__ == "__main__":
    main()
