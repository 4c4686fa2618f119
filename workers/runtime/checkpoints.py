"""Named steps where a test can pause a process, inspect it, resume it or kill it; tests use them, not sleeps.

A step is a call that does nothing unless AEGIS_CHECKPOINTS names a unix socket where a test listens.  Then
the process sends `step pid` to the socket and waits for a line in reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

SOCKET = os.environ.get("AEGIS_CHECKPOINTS")


async def checkpoint(step: str) -> None:
    """Return at once, unless a test pauses the process at this step."""
    if SOCKET is None:
        return
    with contextlib.suppress(OSError):  # the test has ended
        reader, writer = await asyncio.open_unix_connection(SOCKET)
        writer.write(f"{step} {os.getpid()}\n".encode())
        await reader.readline()
        writer.close()
