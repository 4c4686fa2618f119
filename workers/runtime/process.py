"""Run one worker as a process, from its start to its exit status.

The process stops gracefully on SIGTERM or SIGINT and at once on a second signal.  It also stops when the
supervisor that started it is gone, however the supervisor died.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys

from workers.runtime import logs
from workers.runtime.errors import AegisError
from workers.runtime.registry import process_name, worker_class
from workers.runtime.settings import load_settings
from workers.runtime.worker import Worker

PARENT = "AEGIS_PARENT_PID"
PR_SET_PDEATHSIG = 1
LOOK_FOR_PARENT = 1.0

log = logging.getLogger("aegis")


def run(name: str, *args: str) -> int:
    """Run a worker until it is asked to stop; return the exit status."""
    parent = _tie_to_parent()
    called = process_name(name, args)
    try:
        settings = load_settings()
        logs.setup(called, settings.log_level, None if parent else settings.log_dir / f"{called}.log")
        worker = worker_class(name)(settings, *args)
    except AegisError as error:
        logs.setup(called)
        return _tell(error)
    try:
        asyncio.run(_serve(worker, parent))
    except AegisError as error:
        return _tell(error)
    except asyncio.CancelledError:
        log.error("stopped at once")
        return 1
    except Exception:
        log.exception("%s crashed", called)
        return 1
    return 0


def _tell(error: AegisError) -> int:
    log.error("%s", error, extra={"hint": error.hint} if error.hint else None)
    return 1


async def _serve(worker: Worker, parent: int | None) -> None:
    """Run the worker; a signal or the death of the parent asks it to stop."""
    loop = asyncio.get_running_loop()
    serving = asyncio.current_task()
    assert serving is not None

    def stop() -> None:
        if worker.stopping:
            serving.cancel()
        else:
            worker.log.info("asked to stop")
            worker.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    watching = asyncio.create_task(_watch_parent(worker, parent)) if parent else None
    try:
        await worker.run()
    finally:
        if watching is not None:
            watching.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    worker.log.info("stopped", extra={"drains": worker.drains, "worked": worker.worked})


def _tie_to_parent() -> int | None:
    """Ask the kernel for SIGTERM when the supervisor dies; return its pid, None without a supervisor."""
    parent = int(os.environ.pop(PARENT, "0")) or None
    if parent is not None and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:  # the supervisor died before prctl was called
        raise SystemExit(1)
    return parent


async def _watch_parent(worker: Worker, parent: int) -> None:
    """Stop the worker when the supervisor dies, also where the kernel sends no signal."""
    while os.getppid() == parent:  # noqa: ASYNC110 (nobody could set an event for this)
        await asyncio.sleep(LOOK_FOR_PARENT)
    worker.log.warning("the supervisor is gone")
    worker.request_stop()
