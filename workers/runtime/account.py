"""Another account for strategies, when we are root: their code should not be able to read our secrets.

It is tried before it is used, for the account must be able to run this interpreter, read the code of
Aegis and of the strategy, and reach the database.  Where it cannot, the strategy runs as we do and the
log says why.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAME = "nobody"
PATIENCE = 10.0
PROBE = """
import asyncio, sys
from workers.runtime.database import connect_direct
from workers.runtime.settings import load_settings
from workers.strategies.loading import load_strategy

async def reach():
    await (await connect_direct(load_settings(), "probe")).close()

load_strategy(sys.argv[1])
asyncio.run(reach())
"""


@dataclass(frozen=True)
class Account:
    """An account of this machine that owns nothing of ours."""

    uid: int
    gid: int

    def for_subprocess(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def strategy_account() -> Account | None:
    """The account for strategies; None when we are not root, or the machine has no such account."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


async def why_not(account: Account, environment: Mapping[str, str], strategy_class: str) -> str | None:
    """Try to run this strategy as that account; None when it works, else what it said."""
    try:
        probe = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", PROBE, strategy_class),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            **account.for_subprocess(),
        )
    except OSError as error:
        return str(error)
    try:
        async with asyncio.timeout(PATIENCE):
            _, said = await probe.communicate()
    except TimeoutError:
        probe.kill()
        await probe.wait()
        return f"it did not end within {PATIENCE:.0f} s"
    if probe.returncode == 0:
        return None
    return (said.decode(errors="replace").strip().splitlines() or [f"status {probe.returncode}"])[-1]
