"""Run a replay: stop it on Ctrl-C, and show its progress."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import click

from cli.common.context import App
from workers.feeds.recording import TOLD
from workers.replay import Replay

if TYPE_CHECKING:
    from cli.database.connect import Database
    from workers.feeds.recording import Malformed
    from workers.replay import Plan


class Run:
    """One replay."""

    def __init__(self, app: App, plan: Plan, events: int) -> None:
        self.app, self.plan, self.events = app, plan, events
        self.malformed: list[Malformed] = []
        self.seconds = 0.0
        self.digest = ""
        self.replay: Replay
        self._shown_at = self._began = time.monotonic()
        self._part = 0

    async def serve(self, database: Database) -> None:
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
            self._shown_at = self._began = time.monotonic()
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
        if len(self.malformed) < TOLD:
            self.malformed.append(row)

    def _progress(self, replay: Replay) -> None:
        """Show the progress: one line that is overwritten on a terminal, else a line every 10 %."""
        now, done = time.monotonic(), replay.counts.total
        part = 10 * done // max(self.events, 1)
        moving = sys.stderr.isatty()
        if (now - self._shown_at < 0.2) if moving else part == self._part:
            return
        self._shown_at, self._part = now, part
        speed = done / (now - self._began)
        line = f"{done / max(self.events, 1):4.0%}  {replay.link.now:%Y-%m-%d %H:%M:%S}  "
        line += f"{done:,} of {self.events:,} events, {speed:,.0f}/s"
        click.echo(f"\r{line}\x1b[K" if moving else line, nl=not moving, err=True)
