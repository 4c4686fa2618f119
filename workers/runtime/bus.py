"""The process's one LISTEN connection: it hears notifications, and notices when it has gone deaf.

A lost notification costs at most a poll, but a connection that only seems to live would cost one for
ever.  So it must be direct (a transaction pooler accepts LISTEN and never delivers), it is tested by a
NOTIFY to itself whenever it is made and by a round trip every few seconds, and after a loss it LISTENs
on everything before it wakes the worker, which then sweeps its tables: nothing falls in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import asyncpg

from workers.runtime.backoff import Backoff
from workers.runtime.database import AWAY, connect_direct
from workers.runtime.errors import AegisError, Refused
from workers.runtime.pace import Pace
from workers.runtime.settings import Settings

log = logging.getLogger("aegis.bus")

Connection: TypeAlias = "asyncpg.Connection[Any]"
Hold = Callable[[Connection], Awaitable[None]]

CHECK_EVERY = 5.0
DEAF = 2.0
PATIENCE = 3.0  # for any answer on this connection
HAS_ROOM = "select pg_notification_queue_usage() < 0.25"  # beyond it the database sends no hints


class Listening(asyncpg.Connection):
    """Calls listeners at once: a callback scheduled for each of a million would hold up all else for long."""

    _listeners: dict[str, Any]

    def _process_notification(self, sender: int, channel: str, payload: str) -> None:
        for callback in self._listeners.get(channel, ()):
            callback.cb(self, sender, channel, payload)


class BusError(AegisError):
    """Notifications cannot be heard on this connection."""


class Bus:
    """Wakes its worker: set `wake` for every notification, loss and return of the connection."""

    def __init__(
        self,
        settings: Settings,
        name: str = "",
        *,
        hold: Hold | None = None,
        check_every: float = CHECK_EVERY,
        patience: float = PATIENCE,
    ) -> None:
        self.wake = asyncio.Event()
        self.degraded = True
        self.is_deaf = False
        self.pace = Pace(self.wake)
        self._settings = settings
        self._name = name
        self._hold = hold
        self._check_every = check_every
        self._patience = patience
        self._channels: tuple[str, ...] = ()
        self._heard_on: set[str] = set()
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()  # a connection answers one question at a time
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._deafness: asyncio.Task[None] | None = None

    async def start(self, channels: Sequence[str]) -> None:
        """Listen on these channels, or raise why that is impossible."""
        self._channels = tuple(channels)
        await self._connect()
        self._keeper = asyncio.create_task(self._keep(), name="bus")

    def was_heard(self, channel: str) -> bool:
        """Whether this channel was heard since the last time somebody asked about it."""
        if channel not in self._heard_on:
            return False
        self._heard_on.discard(channel)
        return True

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Run a statement on this connection: for what must not wait behind the work of the pool."""
        async with asyncio.timeout(self._patience), self._turn:
            if self._connection is None or self._connection.is_closed():
                raise ConnectionError("the bus connection is down")
            return await self._connection.fetchval(query, *args)

    async def stop(self) -> None:
        self.pace.stop()
        tasks = [task for task in (self._keeper, self._deafness) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is not None:
            with contextlib.suppress(*AWAY):
                await self._connection.close(timeout=self._patience)

    async def _connect(self) -> None:
        """A connection that listens, has heard itself, and holds what the process must hold."""
        connection = await self._open()
        try:
            async with asyncio.timeout(self._patience):
                await self._hear_itself(connection)
                for channel in self._channels:
                    await connection.add_listener(channel, self._heard)
                if self._hold is not None:
                    await self._hold(connection)
        except BaseException:
            connection.terminate()
            raise
        self._lost.clear()
        self._connection = connection
        connection.add_termination_listener(self._ended)
        if connection.is_closed():
            self._lost.set()
        self.degraded = False
        self.wake.set()

    async def _open(self) -> Connection:
        try:
            return await connect_direct(self._settings, f"{self._name} bus".strip(), Listening)
        except asyncpg.ProtocolViolationError as error:  # PgBouncer refuses what only PostgreSQL knows
            raise _not_direct(str(error)) from error

    async def _hear_itself(self, connection: Connection) -> None:
        """Send a notification to this very connection; it must arrive, and from its own server process."""
        heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def hear(_connection: Any, sender: int, _channel: str, _payload: object) -> None:
            if not heard.done():
                heard.set_result(sender)

        channel = f"aegis_{os.getpid()}_{secrets.token_hex(4)}"
        try:
            await connection.add_listener(channel, hear)
            try:
                await connection.execute(f"notify {channel}")
            except asyncpg.ProgramLimitExceededError as error:  # the queue is full: no reason not to work
                log.warning("whether notifications arrive cannot be tested: %s", error)
                return
            async with asyncio.timeout(self._patience / 2):
                sender = await heard
            await connection.remove_listener(channel, hear)
        except TimeoutError:
            raise _not_direct("a notification to itself did not arrive") from None
        except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError) as error:
            raise _not_direct(str(error).splitlines()[0]) from error
        if sender != connection.get_server_pid():
            raise _not_direct(f"it is served by process {sender}, not {connection.get_server_pid()}")

    def _heard(self, _connection: Any, sender: int, channel: str, _payload: object) -> None:
        """Wake, sooner or a little later; a payload comes from anybody and is not even looked at."""
        self._heard_on.add(channel)
        self.pace.heard(sender)
        if self.pace.is_flooded and not self.is_deaf:
            self.is_deaf = True
            self._deafness = asyncio.create_task(self._be_deaf(), name="deaf")

    async def _be_deaf(self) -> None:
        """Listen to nothing for a while, and poll: each listener would read the whole flood."""
        log.warning("more notifications than can be read; polling for %.0f s", DEAF)
        self.wake.set()
        try:
            await self.fetchval("unlisten *")
            await asyncio.sleep(DEAF)
            for channel in self._channels:
                await self.fetchval(f'listen "{channel}"')
        except (*AWAY, asyncpg.PostgresError):
            self._lost.set()  # a new connection hears what is new
        finally:
            self.is_deaf = False
            self.wake.set()

    def _ended(self, connection: Any) -> None:
        if connection is self._connection:  # not one that was given up before
            self._lost.set()

    async def _keep(self) -> None:
        """Notice a loss, at once when the connection breaks and by asking when it goes silent."""
        while True:
            try:
                async with asyncio.timeout(self._check_every):
                    await self._lost.wait()
            except TimeoutError:
                if await self._answers():
                    continue
            await self._reconnect()

    async def _answers(self) -> bool:
        try:
            await self.fetchval("select 1")
            await self._look_for_room()
        except (*AWAY, asyncpg.PostgresError):
            return False
        return True

    async def _look_for_room(self) -> None:
        """While the queue has no room nobody sends hints: the same as not hearing them."""
        try:
            has_room = await self.fetchval(HAS_ROOM)
        except TimeoutError:  # somebody floods it right now
            has_room = False
        if has_room == self.degraded:
            state = "has room again" if has_room else "is full: polling faster"
            log.warning("the notification queue %s", state)
            self.degraded = not has_room
            self.wake.set()

    async def _reconnect(self) -> None:
        self.degraded = True
        self.wake.set()
        if self._connection is not None:
            self._connection.terminate()
        log.warning("lost the bus connection; polling until it is back")
        lost_at, backoff = time.monotonic(), Backoff()
        while True:
            await asyncio.sleep(backoff.next())
            try:
                await self._connect()
            except (*AWAY, asyncpg.PostgresError, BusError, Refused) as error:
                level = logging.DEBUG if isinstance(error, AWAY) else logging.WARNING
                log.log(level, "the bus cannot reconnect yet: %s", error)
            else:
                log.info("the bus is back after %.1f s", time.monotonic() - lost_at)
                return


def _not_direct(fact: str) -> BusError:
    return BusError(
        f"the bus connection is not direct: {fact}",
        hint="AEGIS_DATABASE_URL must lead to PostgreSQL itself; put the pooler into AEGIS_POOLED_URL.",
    )
