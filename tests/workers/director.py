"""The test's side of the checkpoints: hold a process at a step, get its pid, then resume or kill it.

with Director() as director:                # AEGIS_CHECKPOINTS=director.socket
    director.hold("execution.before_send")
    held = director.reached("execution.before_send")
    os.kill(held.pid, signal.SIGKILL)       # or held.go()
"""

from __future__ import annotations

import contextlib
import queue
import socket
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 30.0


@dataclass
class Held:
    """A process that is held at a step."""

    step: str
    pid: int
    connection: socket.socket

    def go(self) -> None:
        with self.connection, contextlib.suppress(OSError):  # it may be dead
            self.connection.sendall(b"go\n")


class Director:
    """Answers the processes of one test: those at a held step wait, all others continue."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="aegis-")
        Path(self._directory.name).chmod(0o711)
        self.socket = Path(self._directory.name) / "checkpoints"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.socket))
        self.socket.chmod(0o666)
        self._server.listen(64)
        self._held: defaultdict[str, queue.Queue[Held]] = defaultdict(queue.Queue)
        self._holding: set[str] = set()

    def hold(self, step: str) -> None:
        self._holding.add(step)

    def release(self, step: str) -> None:
        """Stop holding this step, and resume the processes that wait there."""
        self._holding.discard(step)
        while not self._held[step].empty():
            self._held[step].get().go()

    def reached(self, step: str, timeout: float = PATIENCE) -> Held:
        """Wait until a process reaches this step, which must be held."""
        try:
            return self._held[step].get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no process reached {step} in {timeout:.0f} s") from None

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holding.clear()
        for step in list(self._held):
            self.release(step)
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._directory.cleanup()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            said = connection.makefile().readline().split()
            if len(said) != 2:  # the process died while it asked
                connection.close()
                continue
            held = Held(said[0], int(said[1]), connection)
            if held.step in self._holding:
                self._held[held.step].put(held)
            else:
                held.go()
