"""How a worker process connects to the database: a small pool for work, a direct connection for the bus.

A connection is not reset when it returns to the pool: workers keep no state in a session, the reset would
cost a round trip per statement, and it calls advisory lock functions that no login may execute.
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

import asyncpg

from workers.runtime.errors import teach_asyncpg
from workers.runtime.settings import Settings, SettingsError

teach_asyncpg()

POOL_SIZE = 4
CONNECT_TIMEOUT = 10.0
COMMAND_TIMEOUT = 30.0
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
SERVER_KEEPALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}

AWAY = (
    OSError,  # includes TimeoutError
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DiskFullError,
    asyncpg.PostgresIOError,
)
"""Errors that mean the database cannot be reached or written now, but may recover."""


def is_away(error: BaseException) -> bool:
    """Whether the error means that the database cannot be reached or written, whatever we asked of it."""
    return isinstance(error, AWAY) and not isinstance(error, ValueError)


class Queries(Protocol):
    """The calls a worker makes to its database: on a pool in a process, on one connection in a replay."""

    async def execute(self, query: str, *args: Any) -> str: ...
    async def executemany(self, command: str, args: Any) -> None: ...
    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...


async def open_pool(settings: Settings, name: str = "", *, size: int = POOL_SIZE) -> asyncpg.Pool[Any]:
    """Open the pool for all normal work, through PgBouncer when there is a pooled URL."""
    pooled = settings.pooled_url is not None
    return await asyncpg.create_pool(
        settings.pooled_url or direct_url(settings),
        min_size=1,
        max_size=size,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        statement_cache_size=0 if pooled else 100,  # the next transaction may get another server connection
        server_settings={"application_name": f"aegis {name}".strip()},
        init=keep_alive,
        reset=_leave,
    )


async def connect_direct(
    settings: Settings, name: str = "", kind: type[asyncpg.Connection[Any]] = asyncpg.Connection
) -> asyncpg.Connection[Any]:
    """Open one connection directly to PostgreSQL, for session state: LISTEN and session locks."""
    connection = await asyncpg.connect(
        direct_url(settings),
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        connection_class=kind,
        server_settings={"application_name": f"aegis {name}".strip(), **SERVER_KEEPALIVE},
    )
    await keep_alive(connection)
    return connection


def direct_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise SettingsError(
            "AEGIS_DATABASE_URL is not set: a worker needs the address of its own login",
            hint="aegis up and aegis worker run NAME set it.",
        )
    return settings.database_url


async def keep_alive(connection: Any) -> None:
    """Enable TCP keepalive, so that the kernel notices a dead peer; does nothing for a unix socket."""
    sock = connection._transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _leave(_connection: Any) -> None:
    """Return a connection to the pool without a reset."""
