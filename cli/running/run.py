"""Run the supervisor, and beside it a display that shows what happens and decides when to stop.

Both are in one process, so that killing it leaves no worker behind: the kernel signals each worker.  The
display reads through the desk login, like any other person.  If the embedded server dies it is started
again; the workers reconnect by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import psycopg

from cli.common.formats import clock
from cli.database.binaries import ServerError
from cli.database.errors import DatabaseError
from cli.running.dashboard import Dashboard
from cli.running.oversell import Oversell, stage_oversell
from cli.running.snapshot import EVERY, Snapshot, look, pause_after
from workers.runtime import logs
from workers.runtime.errors import Refused
from workers.runtime.settings import Settings

if TYPE_CHECKING:
    from rich.live import Live

    from cli.database.catalog import Connection
    from cli.database.connect import Database
    from workers.supervisor import Supervisor

LOGIN = "aegis_w_supervisor"
ANSWER_WITHIN = 5.0  # seconds; then the display says that the database does not answer


def supervisor_settings(database: Database) -> Settings:
    """Our settings, with the supervisor's own login to this database."""
    from cli.database.secrets import password_of

    settings = database.settings
    password = password_of(LOGIN, settings.secrets_dir)
    update: dict[str, Any] = {"database_url": database.url(LOGIN, password=password)}
    if settings.pooled_url is not None:
        update["pooled_url"] = database.url(LOGIN, pooled=True, password=password)
    return replace(settings, **update)


def log_to_file(settings: Settings) -> None:
    """Send the supervisor's log to its file: the terminal is for people, and what matters is an event."""
    handler = logs.open_file(settings.log_dir / "supervisor.log")
    handler.setFormatter(logs.JsonLines("supervisor"))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)


class Run:
    """Runs the supervisor until it is stopped, its time is over or the recording has ended."""

    def __init__(
        self,
        database: Database,
        supervisor: Supervisor,
        before: Snapshot,
        *,
        seconds: float | None,
        recording: bool,
        plain: bool,
    ) -> None:
        self.database = database
        self.supervisor = supervisor
        self.before = before
        self.seconds = seconds
        self.recording = recording
        self.plain = plain
        self.oversell: Oversell | None = None
        self.first_fill: float | None = None
        self.why = ""
        self._began = time.monotonic()
        self._dashboard = Dashboard('Ctrl-C stops everything.  In another terminal: aegis halt "why"')
        self._dashboard.last_event = before.last_event
        self._conn: Connection | None = None
        self._stopping = asyncio.Event()
        self._calm = 0
        self._looking: asyncio.Task[Snapshot | None] | None = None
        self._last = before
        self._trouble = ""  # why there is no newer snapshot
        self._trouble_since: datetime | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    @property
    def given_up(self) -> list[str]:
        """The workers that crashed too often."""
        return [name for name, child in self.supervisor.children.items() if child.given_up]

    async def serve(self) -> None:
        """Run until stopped; also after an error, ask the workers to finish."""
        loop = asyncio.get_running_loop()
        working = asyncio.create_task(self.supervisor.run(), name="supervisor")

        def stop() -> None:
            if self.supervisor.stopping:
                working.cancel()
            self._end("asked to stop")

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop)
        try:
            with self._screen() as show:
                await self._watch(working, show)
        finally:
            self.supervisor.request_stop()
            await asyncio.gather(working, return_exceptions=True)
            if self._conn is not None:
                self._conn.close()
        if not working.cancelled() and (error := working.exception()):
            raise error

    def _end(self, why: str) -> None:
        self.why = self.why or why
        self._stopping.set()
        self.supervisor.request_stop()

    async def _watch(self, working: asyncio.Task[None], show: Callable[[Snapshot], None]) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        while not self._stopping.is_set() and not working.done():
            began = time.monotonic()
            was_stale = self._trouble_since is not None
            snapshot = await self._look_in_time(stopping)
            if snapshot is None:
                show(self._stale())
            else:
                self._tell_return(snapshot)
                self._last = snapshot
                self._dashboard.take(snapshot)
                show(snapshot)
                await self._stage(snapshot)
                self._enough(snapshot)
            # A read that waited for a lock does not tell how long reading takes.
            pause = EVERY if snapshot is None or was_stale else pause_after(time.monotonic() - began)
            left = pause if self.seconds is None else min(pause, max(self.seconds - self.elapsed, 0.01))
            await asyncio.wait({working, stopping}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _look_in_time(self, stopping: asyncio.Task[Any]) -> Snapshot | None:
        """Read a snapshot; None if the database cannot be reached or does not answer in time."""
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(self._look), name="look")
        await asyncio.wait(
            {self._looking, stopping}, timeout=ANSWER_WITHIN, return_when=asyncio.FIRST_COMPLETED
        )
        if self._looking.done():
            looked, self._looking = self._looking, None
            return looked.result()
        self._trouble = "the database does not answer"
        return None

    def _stale(self) -> Snapshot:
        """The last snapshot, with the reason why there is no newer one, and since when."""
        self._trouble_since = self._trouble_since or datetime.now(UTC)
        return self._last.as_of(datetime.now(UTC), f"{self._trouble} since {clock(self._trouble_since)}")

    def _tell_return(self, snapshot: Snapshot) -> None:
        if self._trouble_since is not None:
            gone = (datetime.now(UTC) - self._trouble_since).total_seconds()
            self._dashboard.say(snapshot.at, [f"the database was unreachable for {gone:.0f} s"])
        self._trouble, self._trouble_since = "", None

    def _look(self) -> Snapshot | None:
        try:
            if self._conn is None:
                self._conn = self.database.desk()
            return look(self._conn, after_event=self._dashboard.last_event)
        except (psycopg.Error, DatabaseError) as error:
            first = str(error).strip().partition("\n")[0]
            if self._conn is None or self._conn.broken:
                _, fatal, why = str(error).rpartition("FATAL:")
                self._trouble = "the database cannot be reached" + (f" ({why.strip()})" if fatal else "")
            else:
                self._trouble = f"the status query failed ({first})"
            self._reach_again()
            return None

    def _reach_again(self) -> None:
        """Close the connection, and start the embedded server again if it has died."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
        if not self._stopping.is_set() and not self.database.external:
            self.database.server = None
            with contextlib.suppress(ServerError):
                self.database.ensure_running()

    async def _stage(self, snapshot: Snapshot) -> None:
        """Once there is a position, show that the database refuses to sell more than is held."""
        if self.oversell is not None or not snapshot.positions or not snapshot.status["is_simulated"]:
            return
        assert self._conn is not None
        try:
            self.oversell = await asyncio.to_thread(stage_oversell, self._conn)
        except (Refused, psycopg.Error):
            return  # the price was stale, or the server is gone or read-only: try again later
        if self.oversell is not None:
            await self.supervisor.tell(self.oversell.refusal, staged=True, symbol=self.oversell.symbol)
            self._dashboard.say(snapshot.at, self.oversell.lines())

    def _enough(self, snapshot: Snapshot) -> None:
        """End the run if its time is over or the recording has ended."""
        fill = next((event for event in snapshot.events if event["entity"] == "fill"), None)
        if self.first_fill is None and fill is not None:
            self.first_fill = (fill["at"] - self.before.at).total_seconds()
        if self.seconds is not None and self.elapsed >= self.seconds:
            self._end("time limit reached")
        ended = any(
            feed["source"] == "replay"
            and feed["status"] == "ENDED"
            and feed["last_heard_at"] > self.before.at
            for feed in snapshot.feeds
        )
        self._calm = self._calm + 1 if self.recording and ended and snapshot.is_quiet() else 0
        if self._calm > 2:
            self._end("the recording has ended")

    @contextlib.contextmanager
    def _screen(self) -> Iterator[Callable[[Snapshot], None]]:
        """Yield the function that shows a snapshot: on a live screen, or as lines."""
        if self.plain:
            yield self._print
            return
        from rich.live import Live

        from cli.common.output import console

        with Live(console=console(sys.stdout), auto_refresh=False) as live:
            yield lambda snapshot: self._update(live, snapshot)

    def _print(self, snapshot: Snapshot) -> None:
        for line in self._dashboard.lines(snapshot):
            click.echo(line)

    def _update(self, live: Live, snapshot: Snapshot) -> None:
        live.update(self._dashboard.screen(snapshot), refresh=True)
