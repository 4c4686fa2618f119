"""What commands share: settings, the database and the desk's connection, each created at its first use.

Heavy modules are imported only when needed, so that a help text does not wait for two database drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from cli.common.output import Output
    from cli.database.catalog import Connection
    from cli.database.connect import Database
    from workers.runtime.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class App:
    """One run of the command `aegis`."""

    def __init__(self, database_name: str | None = None, *, json: bool = False) -> None:
        self.database_name = database_name
        self._json = json

    @cached_property
    def out(self) -> Output:
        from cli.common.output import Output

        return Output(self._json)

    @cached_property
    def settings(self) -> Settings:
        from workers.runtime.settings import load_settings

        return load_settings()

    @cached_property
    def database(self) -> Database:
        """The database of this run; this neither starts the server nor connects."""
        from cli.database.connect import Database

        return Database.resolve(self.settings, name=self.database_name)

    @cached_property
    def desk(self) -> Connection:
        """A connection as the desk login, closed when the command ends."""
        conn = self.database.desk()
        click.get_current_context().find_root().call_on_close(conn.close)
        return conn


pass_app = click.make_pass_decorator(App, ensure=True)


def pass_desk(command: Callable[Concatenate[Connection, P], R]) -> Callable[P, R]:
    """Call the command with the desk's connection as its first argument."""

    @wraps(command)
    def with_desk(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(click.get_current_context().ensure_object(App).desk, *args, **kwargs)

    return with_desk


def fetch(conn: Connection, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """All rows of a query as dictionaries, with the columns in the query's order."""
    from psycopg.rows import dict_row

    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters or None).fetchall()
