"""A worker process as its supervisor handles it: start it, keep its output, restart it, or give it up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workers.runtime import logs
from workers.runtime.account import Account
from workers.runtime.backoff import Backoff
from workers.runtime.errors import AegisError
from workers.runtime.logins import bare_environment
from workers.runtime.process import PARENT
from workers.runtime.registry import login_of, process_name

GRACE = 20.0  # seconds from the stop request until the process is killed
CRASHES = 3
WINDOW = 60.0  # seconds; after CRASHES crashes within this time the process is not restarted
LAST_WORDS = 20  # lines of output kept for the crash report
LAST_WORDS_WITHIN = 1.0  # seconds to read after the end; a grandchild may keep the pipe open forever
LONGEST_LINE = 1_000_000

log = logging.getLogger("aegis.supervisor")


@dataclass(frozen=True)
class Spec:
    """What to run: the name of process and log, the database login, and the command line."""

    name: str
    login: str
    command: tuple[str, ...]

    @classmethod
    def of_worker(cls, name: str, *args: str) -> Spec:
        """A worker of the registry; -P keeps Python from importing modules of the current directory."""
        command = (sys.executable, "-P", "-m", "workers", name, *args)
        return cls(process_name(name, args), login_of(name, args), command)


@dataclass
class Child:
    """Keeps one process running until `stop`, or until it has crashed too often in a short time."""

    spec: Spec
    env_of: Callable[[str], Mapping[str, str]]
    log_file: Path
    account: Account | None = None
    on_crash: Callable[[Child], None] | None = None
    started_at: float = 0.0
    status: str = "not started"
    given_up: bool = False
    was_hung: bool = False
    crashes: deque[float] = field(default_factory=lambda: deque(maxlen=CRASHES))
    last_words: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_WORDS))
    process: asyncio.subprocess.Process | None = None
    _killed_because: str | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    def start(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")

    def kill(self, why: str) -> None:
        """Kill a process that no longer responds; it is restarted as after a crash."""
        log.error("%s %s", self.spec.name, why)
        self._killed_because = why
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask the process to stop and wait for it; kill it when it does not stop in time."""
        self._stopping.set()
        if self._keeper is None:
            return
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait({self._keeper}, timeout=GRACE)
        if late:
            log.error("%s did not stop in %.0f s and is killed", self.spec.name, GRACE)
            self._signal(signal.SIGKILL)
            await self._keeper

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def _keep(self) -> None:
        backoff = Backoff(first=0.5, most=10.0)
        with contextlib.closing(logs.open_file(self.log_file)) as handler:
            while not self._stopping.is_set():
                self.started_at = time.monotonic()
                self._killed_because = None
                ended = await self._run(handler)
                self.was_hung = self._killed_because is not None
                self.status = self._killed_because or ended
                if self._stopping.is_set():
                    return
                now = time.monotonic()
                self.crashes.append(now)
                self.given_up = len(self.crashes) == CRASHES and now - self.crashes[0] < WINDOW
                if now - self.started_at > WINDOW:
                    backoff.reset()
                if self.on_crash is not None:
                    self.on_crash(self)
                if self.given_up:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(backoff.next()):
                        await self._stopping.wait()

    async def _run(self, handler: logging.Handler) -> str:
        """Run the process once and keep its output; return how it ended."""
        async with self._kept(handler, "INFO") as stdout, self._kept(handler, "ERROR") as stderr:
            try:
                self.process = process = await self._spawn(stdout, stderr)
            except (OSError, AegisError) as error:
                return f"cannot start: {error}"
            finally:
                os.close(stdout)
                os.close(stderr)
            return await self._end_of(process)

    async def _end_of(self, process: asyncio.subprocess.Process) -> str:
        if self._stopping.is_set():  # `stop` was called before there was a process to signal
            self._signal(signal.SIGTERM)
        code = await process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # processes it started and left behind
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    async def _spawn(self, stdout: int, stderr: int) -> asyncio.subprocess.Process:
        who = self.account.for_subprocess() if self.account else {}
        return await asyncio.create_subprocess_exec(
            *self.spec.command,
            env=environment(self.env_of(self.spec.login)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C in the terminal reaches only us; we stop the children ourselves
            **who,
        )

    @contextlib.asynccontextmanager
    async def _kept(self, handler: logging.Handler, level: str) -> AsyncIterator[int]:
        """Open a pipe and keep each line written to it; asyncio's own pipe would wait for grandchildren."""
        reading, writing = os.pipe()
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
        )
        keeping = asyncio.create_task(self._keep_output(reader, handler, level))
        try:
            yield writing
        finally:
            await asyncio.wait({keeping}, timeout=LAST_WORDS_WITHIN)
            keeping.cancel()
            transport.close()

    async def _keep_output(self, stream: asyncio.StreamReader, handler: logging.Handler, level: str) -> None:
        async for line in _lines(stream):
            self.last_words.append(line[:1000])
            logs.keep_line(handler, self.spec.name, line, level)


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The complete environment of a process: the basics, its own settings, and our pid as its parent."""
    return {**bare_environment(), **own, PARENT: str(os.getpid())}


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The output line by line; a line longer than LONGEST_LINE bytes is split."""
    rest = b""
    while chunk := await stream.read(65536):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, rest = [*whole, rest], b""
        for line in filter(None, whole):
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
