"""The loop that all workers share: wake, drain, sleep.

Work is found in the tables, never in a notification.  A worker wakes on a notification, at its poll interval,
or when `api.next_due` says that something is due.  It clears the wake flag first and then does all the work
it finds; a notification that arrives meanwhile sets the flag again, so it is not missed.  Replay creates the
same object with its own connection and calls `drain` itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Iterable
from datetime import timedelta
from typing import Any, ClassVar

import asyncpg

from workers.runtime.backoff import Backoff
from workers.runtime.bus import Bus
from workers.runtime.checkpoints import checkpoint
from workers.runtime.database import AWAY, Queries, is_away, open_pool
from workers.runtime.errors import Refused
from workers.runtime.heart import Heart
from workers.runtime.memory import resident_bytes
from workers.runtime.outage import is_outage
from workers.runtime.pace import LATER
from workers.runtime.settings import Settings, load_settings

MIGRATION = 30.0  # seconds a drain waits at most for a migration to end
ASK_EVERY = 1.0  # minimum seconds between two checks for a running migration
GRACE = 10.0  # seconds a running drain gets to finish after a stop request
DEGRADED_POLL = 5  # poll this many times faster while notifications cannot be heard
FASTEST_POLL = 0.1
JUST_AFTER = 0.001  # wake this much later, so that the due time has certainly passed
MIGRATION_POLL = 0.1

MIGRATING = "select api.migration_is_running()"
LIKE_A_MIGRATION = (
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.FeatureNotSupportedError,  # a cached plan whose result has changed
    asyncpg.LockNotAvailableError,
)
RECORD_OUTAGE = "select api.record_outage($1, $2, $3, $4, $5)"


class Worker:
    """Base class of all workers: override `drain`, and where needed `start`, `release` and `stop`."""

    name: str = ""
    channels: ClassVar[tuple[str, ...]] = ()
    poll: ClassVar[timedelta] = timedelta(seconds=1)
    """The longest delay that a lost notification can cause."""
    is_timed: ClassVar[bool] = True
    """Whether work can fall due for this worker by time alone, which `api.next_due` tells."""
    goodbye: ClassVar[float] = 5.0
    """Seconds allowed for each step of the shutdown: `release`, `stop`, and closing each connection."""

    def __init__(
        self, settings: Settings | None = None, *args: str, db: Queries | None = None, worker_id: int = 0
    ) -> None:
        self.settings = settings or load_settings()
        self.args = args
        self.id = worker_id
        self.log = logging.getLogger(f"aegis.{self.name}")
        self.drains = self.worked = self.errors = 0
        self.last_error: str | None = None
        self._stopping = asyncio.Event()
        self._fatal: BaseException | None = None
        self._backoff = Backoff()
        self._pool: Any = None
        if db is not None:
            self.db = db
        self.bus = Bus(self.settings, self.name, hold=self._hold_lock)
        self.wake = self.bus.wake
        self.heart = Heart(self)
        self._suspects_migration = False
        self._asked_at = -ASK_EVERY

    db: Queries

    async def drain(self) -> int:
        """Do all the work the tables show now; return how much was done.  Called again until it returns 0."""
        raise NotImplementedError

    async def in_turn(self, work: Iterable[Awaitable[int]]) -> int:
        """Await each in turn and return the sum; go on after a failure, and raise the first at the end."""
        done, failures = 0, []
        for part in work:
            try:
                done += await part
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return done

    async def start(self) -> None:
        """Get ready: called before the first drain, and retried while the database is unavailable."""

    async def release(self) -> None:
        """Give back work that was claimed but not begun: called after the last drain."""

    async def stop(self) -> None:
        """Close what `start` opened: called at shutdown, also after a failure."""

    @property
    def stopping(self) -> bool:
        """Whether the worker was asked to stop and must claim nothing more."""
        return self._stopping.is_set()

    def request_stop(self) -> None:
        """Ask the worker to finish its current drain, release other work and end."""
        self._stopping.set()
        self.wake.set()

    async def run(self) -> None:
        """Run until asked to stop."""
        try:
            await self._open()
            await self._get_ready()
            if not self.stopping:
                await self._serve_until_stopped()
                await self._in_time(self.release())
        finally:
            await self._in_time(self.stop())
            await self._close()
        if self._fatal is not None:
            raise self._fatal

    async def _open(self) -> None:
        """Connect, register and listen; retry for as long as the database is unavailable."""
        backoff = Backoff()
        while not self.stopping:
            try:
                self._pool = self.db = await open_pool(self.settings, self.name)
                self.id = await self.db.fetchval(
                    "select api.register_worker($1, $2, $3)", self.name, os.getpid(), socket.gethostname()
                )
                await self.bus.start((*self.channels, "command") if self.settings.notify else ())
            except AWAY as error:
                await self._close()
                if not is_away(error):
                    raise
                self.log.warning("cannot reach the database yet: %s", error)
                await self._pause(backoff.next())
            else:
                self.log.info("started", extra={"worker_id": self.id})
                return

    async def _get_ready(self) -> None:
        """Call `start`; retry while the database is unavailable or read-only."""
        backoff = Backoff()
        while not self.stopping:
            try:
                await self.start()
            except AWAY as error:
                if not is_away(error):
                    raise
                self.log.warning("cannot start yet: %s", error)
                await self._pause(backoff.next())
            else:
                return

    async def _hold_lock(self, connection: Any) -> None:
        """Take this worker's session lock, which PostgreSQL releases as soon as this process dies."""
        if not await connection.fetchval("select api.hold_worker_lock($1)", self.id):
            raise ConnectionError("the session that held this worker's lock has not ended yet")

    async def _serve_until_stopped(self) -> None:
        serving = asyncio.create_task(self._serve(), name="serve")
        beating = asyncio.create_task(self.heart.beat(), name="beat")
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({serving}, timeout=GRACE)
            if serving.done():
                serving.result()  # raises the error, if that is why it ended
            else:
                self.log.error("a drain did not end in %.0f s and is cut off", GRACE)
        finally:
            for task in (serving, beating, stopping):
                task.cancel()
            await asyncio.gather(serving, beating, stopping, return_exceptions=True)

    async def _serve(self) -> None:
        while not self.stopping:
            self.wake.clear()
            began = time.monotonic()
            try:
                await self._drain_all()
                self.heart.outage.worked("drain")
                await self._idle()
            except Exception as error:
                await self._failed(error, began)

    async def _drain_all(self) -> None:
        while not self.stopping:
            await self._let_migrate()
            await checkpoint(f"{self.name}.drain")
            self.drains += 1
            done = await self.drain()
            self.worked += done
            self._backoff.reset()
            if not done:
                return

    async def _let_migrate(self) -> None:
        """Wait while a migration holds its advisory lock, so that drains hold no lock it needs."""
        self._suspects_migration |= self.bus.was_heard("command")
        if not self._suspects_migration or time.monotonic() - self._asked_at < ASK_EVERY:
            return
        self._suspects_migration = False
        with contextlib.suppress(TimeoutError, asyncpg.UndefinedFunctionError):
            async with asyncio.timeout(MIGRATION):
                while not self.stopping and await self.db.fetchval(MIGRATING):
                    await self._pause(MIGRATION_POLL)
        self._asked_at = time.monotonic()

    async def _idle(self) -> None:
        """Sleep until a notification, the next poll, or the time when the tables next have work due."""
        if self.wake.is_set():
            return
        await checkpoint(f"{self.name}.idle")
        due: timedelta | None = await self.db.fetchval("select api.next_due()") if self.is_timed else None
        waits = [] if due is None else [max(0.0, due.total_seconds()) + JUST_AFTER]
        if self.settings.poll:
            waits.append(self._poll_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self.wake.wait()

    def _poll_seconds(self) -> float:
        poll = self.poll.total_seconds()
        if self.bus.is_deaf:
            return min(poll, LATER)
        return min(poll, max(FASTEST_POLL, poll / DEGRADED_POLL)) if self.bus.degraded else poll

    async def _failed(self, error: Exception, began: float) -> None:
        """Report a failed drain to the log and to the database, then wait before the next one."""
        pause = self._backoff.next()
        self.errors += 1
        self.last_error = f"{type(error).__name__}: {error}"[:1000]  # fits into a heartbeat
        self._suspects_migration |= isinstance(error, LIKE_A_MIGRATION)
        again = {"failures": self._backoff.failures, "pause": round(pause, 3)}
        if is_outage(error):
            self.heart.outage.failed("drain", error, began)
        if is_away(error):
            self.log.warning("lost the database: %s", error, extra=again)
            await self.renew_connections()
        else:
            self.log.error("a drain failed: %s", error, exc_info=error, extra=again)
            if self._backoff.failures.bit_count() == 1:  # the 1st, 2nd, 4th, 8th, ... failure in a row
                await self.tell(error, **again)
        await self._pause(pause)

    async def renew_connections(self) -> None:
        """Use new connections from now on: a session that began read-only stays read-only."""
        if self._pool is not None:
            await self._pool.expire_connections()

    async def report_outage(self) -> int | None:
        """Record in the database the time during which this worker could not work; return the outage's id."""
        number: int | None = await self.db.fetchval(RECORD_OUTAGE, self.id, *self.heart.report())
        return number

    def end_with(self, error: BaseException) -> None:
        """End the process with this error once the current drain is finished."""
        self._fatal = error
        self.request_stop()

    async def tell(self, error: BaseException, **detail: Any) -> None:
        """Record an error in the database after its own transaction was rolled back."""
        facts = {"worker": self.name, "class": type(error).__name__, **detail}
        try:
            await self.db.execute(
                "select api.log_error($1, $2, $3, $4::jsonb)",
                self.id,
                getattr(error, "sqlstate", None),
                str(error),
                json.dumps(facts, default=str),
            )
        except Exception as failure:
            self.log.warning("could not record the error in the database: %s", failure)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def vitals(self) -> dict[str, Any]:
        """What each heartbeat reports about this process."""
        return {
            "rss_bytes": resident_bytes(),
            "drains": self.drains,
            "worked": self.worked,
            "errors": self.errors,
            "last_error": self.last_error,
            "trouble": self.heart.trouble(),
        }

    async def _close(self) -> None:
        """Tell the database of a normal stop, and close every connection."""
        pool, self._pool = self._pool, None
        if pool is not None and self.id and self._fatal is None:
            await self._in_time(pool.execute("select api.stop_worker($1)", self.id))
        await self._in_time(self.bus.stop())
        if pool is not None:
            await self._in_time(pool.close())
            pool.terminate()

    async def _in_time(self, work: Awaitable[Any]) -> None:
        """Do one step of the shutdown within `goodbye` seconds; log a failure and go on."""
        try:
            async with asyncio.timeout(self.goodbye):
                await work
        except (Refused, *AWAY) as error:
            self.log.warning("a shutdown step failed: %s", error)
        except Exception:
            self.log.exception("a shutdown step failed")
