"""Named steps where a test can hold a process, look, let it go on, or kill it: what tests use for sleeps.

A step is a call that does nothing unless AEGIS_CHECKPOINTS names a unix socket where a test listens.  Then
the process says `step pid` there and waits for a line in return.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

SOCKET = os.environ.get("AEGIS_CHECKPOINTS")


async def checkpoint(step: str) -> None:
    """Go on, unless a test holds this step."""
    if SOCKET is None:
        return
    with contextlib.suppress(OSError):  # the test is over
        reader, writer = await asyncio.open_unix_connection(SOCKET)
        writer.write(f"{step} {os.getpid()}\n".encode())
        await reader.readline()
        writer.close()
