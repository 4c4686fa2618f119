"""`aegis db`: commands that administer the database itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import click

from cli.common.context import App, fetch, pass_app
from cli.common.options import json_option

if TYPE_CHECKING:
    from cli.database.migrate import Report

LIFECYCLES: dict[str, LiteralString] = {
    "intent": "select from_status, to_status from intent_transitions",
    "order": "select from_status, to_status from order_transitions",
}
KINDS = ("live", "demo", "replay", "test")


@click.group()
def db() -> None:
    """Migrate, inspect, open and dump the database.

    \b
    Examples:
      aegis db status
      aegis db psql -c "select * from positions"
      aegis --database aegis db migrate
    """


@db.command()
@click.option("--kind", type=click.Choice(KINDS), help="The kind of a new database; it never changes.")
@click.option("--force", is_flag=True, help="Re-create all that sql/ defines, even if nothing changed.")
@json_option
@pass_app
def migrate(app: App, kind: str | None, force: bool) -> None:
    """Bring the database up to date with the code.

    Starts the embedded server, creates the database and the logins if they are missing, runs the pending
    files of schema/, applies sql/ and sets the privileges.  The files are applied in one transaction.  If a
    migration is pending, running workers are asked to finish their work first.

    \b
    Examples:
      aegis db migrate
      aegis --database paper2 db migrate --kind demo
    """
    report = app.database.migrate(kind, force=force)
    if app.out.json:
        app.out.record({"database": app.database.name, **vars(report)})
        return
    for line in _lines(app.database.name, report):
        app.out.say(line)


def _lines(name: str, report: Report) -> list[str]:
    if not report.changed:
        return [f"{name} ({report.kind}) is up to date."]
    lines = [f"applied  {title}" for title in report.applied]
    lines += [f"removed  {removed}, which sql/ no longer defines" for removed in report.removed]
    how = "re-created" if report.rebuilt else "applied"
    return [*lines, f"{name} ({report.kind}) is up to date; sql/ was {how}."]


@db.command()
@json_option
@pass_app
def status(app: App) -> None:
    """Show whether the database matches the code.

    \b
    Examples:
      aegis db status
      aegis db status --json
    """
    from cli.database.migrate import status as compare

    database = app.database
    with database.admin() as conn:
        compared = compare(conn)
        state = compared.state
        info = conn.info
        app.out.record(
            {
                "database": database.name,
                "kind": state.kind or "not migrated",
                "server": "external" if database.external else "embedded",
                "address": f"{info.host}:{info.port}",
                "postgresql": info.parameter_status("server_version"),
                "migrations": len(state.applied),
                "last_migration": state.applied[-1].name if state.applied else None,
                "pending": compared.pending,
                "sql": "current" if compared.sql_current else "differs from the code",
                "sql_checksum": state.sql_checksum,
                "deployed_by": state.code_version,
                "up_to_date": compared.current,
            }
        )
    if not compared.current:
        app.out.say("\nRun aegis db migrate.")


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_app
def psql(app: App, arguments: tuple[str, ...]) -> None:
    """Open psql as the desk login; ARGUMENTS are passed to psql.

    Tables are private: read views and call functions.  \\dv lists the views, \\df+ the functions.

    psql saves no history, because what you type may be an override code.  Give codes to aegis resume instead:
    it sends them as parameters, so pg_stat_activity does not show them.  To keep a history set PSQL_HISTORY;
    a line that begins with a space is not saved.  Never put a code into -c: ps shows it.

    \b
    Examples:
      aegis db psql
      aegis db psql -c "select * from status"
      aegis db psql -c "select halt('fat finger')"
    """
    from cli.database.connect import DESK
    from cli.database.secrets import password_of

    database = app.database
    (now,) = fetch(app.desk, "select kind, mode from status")
    forget = {"PSQL_HISTORY": os.environ.get("PSQL_HISTORY", os.devnull)}
    environment = os.environ | forget | {"PGPASSWORD": password_of(DESK, database.settings.secrets_dir)}
    if sys.stdin.isatty() and not arguments:
        click.echo(f"The mode is {now['mode']}.  \\dv lists the views, \\df+ the functions.")
    app.desk.close()
    # The prompt shows only what cannot change during the session; the mode can, so it is printed above.
    prompt = f"--set=PROMPT1={now['kind']} %/%R%x%# "
    program = database.program("psql")
    os.execve(
        program, [program, database.url(), "--set=HISTCONTROL=ignorespace", prompt, *arguments], environment
    )


@db.command()
@click.option("--pooled", is_flag=True, help="Through PgBouncer, where LISTEN does not work.")
@click.option("--login", default="aegis_desk", show_default=True, metavar="NAME", help="Its login.")
@click.option("--with-password", is_flag=True, help="Include the password; treat the URL as a secret.")
@pass_app
def url(app: App, pooled: bool, login: str, with_password: bool) -> None:
    """Print the URL of the database, for other programs.

    Without --with-password it contains no password.  The password is in the secrets directory, in a file
    named after the login; programs take it from PGPASSWORD.

    \b
    Examples:
      aegis db url
      aegis db url --pooled --login aegis_w_router
      psql "$(aegis db url --with-password)"
    """
    from cli.database.secrets import password_of

    address = app.database.url(login, pooled=pooled)
    password = password_of(login, app.settings.secrets_dir)
    if with_password:
        address = app.database.url(login, pooled=pooled, password=password)
    click.echo(address)


@db.command()
@click.argument("what", type=click.Choice(["all", "flow", "intent", "order"]), default="all")
@click.option("--mermaid", is_flag=True, help="Print Mermaid text, which GitHub and many editors draw.")
@pass_app
def diagram(app: App, what: str, mermaid: bool) -> None:
    """Draw the path of an order, and the lifecycles of intents and orders.

    The lifecycles are drawn from the transition rows that the database enforces.

    \b
    Examples:
      aegis db diagram
      aegis db diagram order --mermaid > order.mmd
    """
    from cli.database.diagram import FLOW, FLOW_MERMAID, lifecycle_mermaid, lifecycle_text

    parts = [FLOW_MERMAID if mermaid else FLOW] if what in ("all", "flow") else []
    for noun in LIFECYCLES:
        if what in ("all", noun):
            moves = app.desk.execute(LIFECYCLES[noun]).fetchall()
            parts.append(lifecycle_mermaid(moves) if mermaid else lifecycle_text(noun, moves))
    click.echo("\n\n".join(parts))


@db.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@pass_app
def reset(app: App, yes: bool) -> None:
    """Drop the database with all its history and create it again.

    Refused for a live database, and while workers are connected.

    \b
    Examples:
      aegis db reset
      aegis --database paper2 db reset --yes
    """
    database = app.database
    database.ensure_running()
    kind = database.refuse_reset()
    if not yes:
        click.confirm(
            f"Drop the database {database.name} ({kind or 'empty'}) with all its history?", abort=True
        )
    database.drop()
    report = database.migrate(kind)
    app.out.say(f"{database.name} ({report.kind}) is new and empty.")


@db.command()
@click.option(
    "--file", type=click.Path(dir_okay=False, path_type=Path), help="Write to FILE instead of the terminal."
)
@pass_app
def dump(app: App, file: Path | None) -> None:
    """Print the definitions of everything, without data.

    \b
    Examples:
      aegis db dump | less
      aegis db dump --file before.sql
    """
    text = app.database.dump()
    if file is None:
        click.echo(text, nl=False)
        return
    file.write_text(text, encoding="utf-8")
    app.out.say(f"Written to {file}.")


@db.command()
@pass_app
def pooler(app: App) -> None:
    """Run PgBouncer in front of the embedded server.

    It runs until Ctrl-C.

    It uses the pgbouncer.ini that ships with Aegis.  Workers use it if AEGIS_POOLED_URL is its address.

    \b
    Examples:
      aegis db pooler
      AEGIS_POOLED_URL=$(aegis db url --pooled) aegis up
    """
    from cli.database import pooler as pgbouncer

    process: subprocess.Popen[Any] = pgbouncer.start(app.database.embedded())
    app.out.say(f"PgBouncer is running (pid {process.pid}). Address: {app.database.url(pooled=True)}")
    try:
        process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
