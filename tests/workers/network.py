"""A proxy between a client and PostgreSQL that tests can make go silent or act like a pooler."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit, urlunsplit

Writer = asyncio.StreamWriter


@dataclass
class Network:
    """Forwards messages, except those that a test wants dropped or changed."""

    url: str
    drop_notifications: bool = False
    hide_server_process: bool = False
    _silent: bool = False
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def go_silent(self) -> None:
        """Keep open connections open but forward nothing any more, as when a cable is pulled."""
        for task in self._open:
            task.cancel()
        self._open.clear()

    async def carry(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.close()
            return
        for work in (self._up(reader, server_writer), self._down(server_reader, writer)):
            self._open.add(asyncio.create_task(work))

    async def _connect(self) -> tuple[asyncio.StreamReader, Writer]:
        parts = urlsplit(self.url)
        where = parse_qs(parts.query)
        host, port = where.get("host", [parts.hostname])[0], where.get("port", [parts.port])[0]
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port))

    async def _up(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind, length = struct.unpack("!cI", await reader.readexactly(5))
                body = await reader.readexactly(length - 4)
                if kind == b"A" and self.drop_notifications:
                    continue
                if kind == b"K" and self.hide_server_process:
                    body = struct.pack("!I", 1) + body[4:]
                writer.write(struct.pack("!cI", kind, length) + body)
        writer.close()


@contextlib.asynccontextmanager
async def network(url: str) -> AsyncIterator[tuple[Network, str]]:
    """A proxy in front of this server, and the address of the server through it."""
    between = Network(url)
    server = await asyncio.start_server(between.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    parts = urlsplit(url)
    who = parts.netloc.rpartition("@")[0]
    try:
        yield (
            between,
            urlunsplit(parts._replace(netloc=f"{who}@127.0.0.1:{port}", query="sslmode=disable")),
        )
    finally:
        between.go_silent()
        server.close()
