"""The process's one LISTEN connection: receives notifications and notices when it no longer does.

One lost notification delays work until the next poll; a connection that is silently dead would delay all of
it.  So the connection must be direct (a transaction pooler accepts LISTEN but never delivers), it is tested
with a NOTIFY to itself when it is opened, and with a round trip every few seconds.  After a loss the new
connection first LISTENs on all channels and then wakes the worker, which reads its tables, so nothing that
happened meanwhile is missed.
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
PATIENCE = 3.0  # seconds to wait for any answer on this connection
HAS_ROOM = "select pg_notification_queue_usage() < 0.25"  # with a fuller queue bus.notify sends nothing


class Listening(asyncpg.Connection):
    """Calls listeners directly: scheduling a callback for each of a million would block the event loop."""

    _listeners: dict[str, Any]

    def _process_notification(self, sender: int, channel: str, payload: str) -> None:
        for callback in self._listeners.get(channel, ()):
            callback.cb(self, sender, channel, payload)


class BusError(AegisError):
    """Notifications cannot be heard on this connection."""


class Bus:
    """Sets `wake` on each notification, and when the connection is lost or restored."""

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
        self._turn = asyncio.Lock()  # a connection runs one statement at a time
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._deafness: asyncio.Task[None] | None = None

    async def start(self, channels: Sequence[str]) -> None:
        """Listen on these channels; raise an error when that is impossible."""
        self._channels = tuple(channels)
        await self._connect()
        self._keeper = asyncio.create_task(self._keep(), name="bus")

    def was_heard(self, channel: str) -> bool:
        """Whether a notification arrived on this channel since the last call."""
        if channel not in self._heard_on:
            return False
        self._heard_on.discard(channel)
        return True

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Run a statement on this connection when it must not wait for a free pool connection."""
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
        """Open a connection, test that it receives notifications, LISTEN, and take the worker's lock."""
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
        except asyncpg.ProtocolViolationError as error:  # PgBouncer rejects settings it does not know
            raise _not_direct(str(error)) from error

    async def _hear_itself(self, connection: Connection) -> None:
        """Send a notification to this connection; it must arrive, and from its own server process."""
        heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def hear(_connection: Any, sender: int, _channel: str, _payload: object) -> None:
            if not heard.done():
                heard.set_result(sender)

        channel = f"aegis_{os.getpid()}_{secrets.token_hex(4)}"
        try:
            await connection.add_listener(channel, hear)
            try:
                await connection.execute(f"notify {channel}")
            except asyncpg.ProgramLimitExceededError as error:  # the queue is full: go on and poll
                log.warning("cannot test whether notifications arrive: %s", error)
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
        """Wake the worker, at once or slightly later; ignore the payload, since any login can send one."""
        self._heard_on.add(channel)
        self.pace.heard(sender)
        if self.pace.is_flooded and not self.is_deaf:
            self.is_deaf = True
            self._deafness = asyncio.create_task(self._be_deaf(), name="deaf")

    async def _be_deaf(self) -> None:
        """Stop listening for DEAF seconds and poll instead: listening would mean reading the whole flood."""
        log.warning("notifications arrive faster than they can be read; polling for %.0f s", DEAF)
        self.wake.set()
        try:
            await self.fetchval("unlisten *")
            await asyncio.sleep(DEAF)
            for channel in self._channels:
                await self.fetchval(f'listen "{channel}"')
        except (*AWAY, asyncpg.PostgresError):
            self._lost.set()  # reconnect: a new connection receives only new notifications
        finally:
            self.is_deaf = False
            self.wake.set()

    def _ended(self, connection: Any) -> None:
        if connection is self._connection:  # ignore a connection that was already replaced
            self._lost.set()

    async def _keep(self) -> None:
        """Reconnect after a loss: a break is noticed at once, a silent connection by a regular query."""
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
        """Poll faster while the queue is too full: the database then sends no notifications."""
        try:
            has_room = await self.fetchval(HAS_ROOM)
        except TimeoutError:  # a session is flooding the queue right now
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
                log.info("the bus connection is back after %.1f s", time.monotonic() - lost_at)
                return


def _not_direct(fact: str) -> BusError:
    return BusError(
        f"the bus connection is not direct: {fact}",
        hint="Set AEGIS_DATABASE_URL to PostgreSQL itself, and AEGIS_POOLED_URL to the pooler.",
    )
