"""A separate system account for strategies when we run as root, so that their code cannot read our secrets.

The account must be able to run this interpreter, read the code of Aegis and of the strategy, and reach the
database.  A probe process checks this first; if it fails, the strategy runs under our own account and the log
says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("nobody", "daemon")
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
    """A system account of this machine that owns none of our files."""

    uid: int
    gid: int
    name: str

    def for_subprocess(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def strategy_account(server_data: Path) -> Account | None:
    """The account for strategies; None when we are not root or the machine has no suitable account.

    Never the account that runs the embedded server: peer authentication would make it the database superuser.
    """
    if os.geteuid() != 0:
        return None
    taken = server_data.stat().st_uid if server_data.exists() else 0
    for name in NAMES:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != taken:
                return Account(entry.pw_uid, entry.pw_gid, name)
    return None


async def why_not(account: Account, environment: Mapping[str, str], strategy_class: str) -> str | None:
    """Try to run this strategy under that account; return None when it works, else the error."""
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
