"""Keep the workers running: the core workers always, and one process for each strategy that is RUNNING.

The database says which strategies should run, so a drain compares its rows with the processes.  A process
that ends is restarted, each time after a longer wait.  After three crashes within a minute it is not
restarted and an incident is opened, since it would probably crash again.  When the processor is busy, new
strategies wait.  When memory runs out, the strategy that has been idle longest is stopped.  Strategies that
wait are recorded in the database.

A process can exist and do nothing: one that has missed its heartbeats is killed, which counts as a crash.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from workers.runtime.account import strategy_account, why_not
from workers.runtime.child import CRASHES, GRACE, WINDOW, Child, Spec
from workers.runtime.errors import AegisError, NotAllowed
from workers.runtime.logins import bare_environment, worker_env
from workers.runtime.marker import Marker, MarkerError
from workers.runtime.memory import CpuMeter, memory_used
from workers.runtime.registry import CORE
from workers.runtime.settings import Settings
from workers.runtime.worker import Worker

BUSY_CPU = 0.95  # over ten seconds; so high because starting workers may use most of a small machine
FULL_MEMORY = 0.85
ROOM_AGAIN = 0.75  # below this, strategies stopped for lack of memory are started again
SETTLE = 30.0  # seconds to let memory settle before the next strategy is stopped

STRATEGIES = (
    "select strategy, class, changed_at from api.strategies where status = 'RUNNING' order by strategy"
)
WORKED = "select login, (detail ->> 'worked')::bigint as worked from api.workers where is_alive"
INCIDENT = "select api.raise_incident($1, $2, $3::jsonb)"
BEGIN = "select marker, foreign_because from api.begin_run($1)"
MARK = "select api.run_marker($1)"
HUNG = """
select w.name, w.pid, extract(epoch from clock_timestamp() - w.heartbeat_at)::float8 as silent
from api.workers as w
where w.is_hung and w.host = $1
"""
STEADY = 10.0  # seconds of our own heartbeats before others count as hung: the machine or we may have slept
SAY_WAITING = "select api.report_waiting($1, $2)"
MARK_EVERY = 5.0  # seconds; a restored state is recognised if it is older than the last marker


class ProcessError(AegisError):
    """A worker process ended unexpectedly or had to be stopped."""


@dataclass(frozen=True)
class News:
    """Something to record in the database: as an error, and also as an incident when a kind is given."""

    message: str
    subject: str
    detail: dict[str, Any]
    incident: str | None = None


class Supervisor(Worker):
    """Runs the other workers. Its arguments are passed to price_sync: the feed and its speed."""

    name = "supervisor"
    channels = ("strategy_changed",)
    poll = timedelta(seconds=2)
    goodbye = GRACE + 5.0

    def __init__(
        self,
        settings: Settings | None = None,
        *args: str,
        env_of: Callable[[str], Mapping[str, str]] | None = None,
        core: Sequence[Spec] | None = None,
    ) -> None:
        super().__init__(settings, *args)
        self.env_of = env_of or partial(worker_env, self.settings)
        self.core = core_specs(args) if core is None else core
        self.account = strategy_account(self.settings.data_dir / "server" / "data")
        self.children: dict[str, Child] = {}
        self.started_for: dict[str, datetime] = {}  # changed_at of the row each strategy was started for
        self.waiting: dict[str, str] = {}  # strategies that should run and do not, and why
        self.made_room: set[str] = set()  # strategies stopped for lack of memory
        self.work: dict[str, tuple[int, float]] = {}  # work done by each strategy, and since when that number
        self.said_waiting: dict[str, str] | None = None
        self.cpu = CpuMeter()
        self.settled_at = 0.0
        self.news: deque[News] = deque(maxlen=100)
        self.mark = ""  # the run marker last written outside the database
        self.marked_at = 0.0

    async def start(self) -> None:
        await self._begin_run()
        for spec in self.core:
            self._start(spec)

    async def stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self.children.values()))
        if self.mark:
            await self._keep_mark()

    async def drain(self) -> int:
        """Start and stop strategies as their rows say; return how many were started or stopped."""
        await self._tell_news()
        if time.monotonic() - self.marked_at >= MARK_EVERY:
            await self._keep_mark()
        await self._kill_hung()
        wanted = {f"strategy.{row['strategy']}": row for row in await self.db.fetch(STRATEGIES)}
        running = {name for name in self.children if name.startswith("strategy.")}
        gone = sorted(name for name in running if self._is_over(name, wanted.get(name)))
        await asyncio.gather(*(self._stop(name) for name in gone))
        running.difference_update(gone)
        self.made_room.intersection_update(wanted)
        changed = len(gone) + await self._start_new(wanted, running)
        await self._say_waiting(wanted)
        return changed

    async def _start_new(self, wanted: Mapping[str, Any], running: Collection[str]) -> int:
        """Start missing strategies if the machine has capacity; return how many processes changed."""
        cpu, memory = self.pressure()
        self.waiting = {}
        if memory > FULL_MEMORY:
            return await self._make_room(memory)
        if memory < ROOM_AGAIN:
            self.made_room.clear()
        new = [name for name in wanted if name not in running and name not in self.made_room]
        if new and cpu > BUSY_CPU:
            self.waiting = dict.fromkeys(new, f"the processor is {cpu:.0%} busy, the most is {BUSY_CPU:.0%}")
            return 0
        for name in new:
            await self._start_strategy(wanted[name])
        return len(new)

    async def _say_waiting(self, wanted: Mapping[str, Any]) -> None:
        """Record which strategies should run and do not, and why."""
        waiting = dict(self.waiting)
        for name in wanted:
            child = self.children.get(name)
            if child is not None and child.given_up:
                waiting[name] = (
                    f"{child.status}, {CRASHES} times in {WINDOW:.0f} s: stop it and start it again"
                )
            elif name in self.made_room:
                waiting[name] = (
                    f"stopped to free memory; restarts when memory use falls below {ROOM_AGAIN:.0%}"
                )
            elif child is None:
                waiting.setdefault(name, f"memory is over {FULL_MEMORY:.0%} full")
        if waiting == self.said_waiting:
            return
        for name, reason in waiting.items():
            if name not in (self.said_waiting or {}):
                self.log.warning("%s waits: %s", name, reason)
        names = [name.removeprefix("strategy.") for name in waiting]
        await self.db.execute(SAY_WAITING, names, list(waiting.values()))
        self.said_waiting = waiting

    async def _kill_hung(self) -> None:
        """Kill children that have missed their heartbeats, unless we have missed ours too."""
        if self.heart.steady_for < STEADY:
            return
        pids = {child.pid: child for child in self.children.values() if child.pid}
        for row in await self.db.fetch(HUNG, socket.gethostname()):
            if (child := pids.get(row["pid"])) is not None and self.heart.steady_for >= STEADY:
                child.kill(f"was killed: no heartbeat for {row['silent']:.0f} s")

    async def _begin_run(self) -> None:
        """Let the database compare itself with the marker kept outside it, and store the new marker."""
        database: str = await self.db.fetchval("select current_database()")
        self.marker = Marker(self.settings.data_dir, database)
        run = await self.db.fetchrow(BEGIN, self.marker.read())
        self._write_mark(run["marker"])
        if run["foreign_because"] is not None:
            self.log.critical(
                "%s is a restored or copied database (%s): it is halted until a person adopts it",
                database,
                run["foreign_because"],
            )

    async def _keep_mark(self) -> None:
        try:
            self._write_mark(await self.db.fetchval(MARK, self.mark))
        except NotAllowed as error:  # the database was replaced while we ran: restart
            self.end_with(error)
        except MarkerError as error:  # the previous marker is still valid, only older
            self.marked_at = time.monotonic()
            self.log.error("%s", error)

    def _write_mark(self, mark: str) -> None:
        self.marker.write(mark)
        self.mark, self.marked_at = mark, time.monotonic()

    def _is_over(self, name: str, row: Any) -> bool:
        """Whether to stop this process: no longer RUNNING, or given up and its row has changed since."""
        if row is None:
            return True
        return self.children[name].given_up and row["changed_at"] != self.started_for[name]

    def pressure(self) -> tuple[float, float]:
        """The shares of processor time and memory in use; 0 when unknown."""
        return self.cpu.used() or 0.0, memory_used() or 0.0

    async def _start_strategy(self, row: Any) -> None:
        spec = Spec.of_worker("strategy", row["strategy"])
        account = self.account
        if account is not None:
            try:
                environment = {**bare_environment(), **self.env_of(spec.login)}
                reason = await why_not(account, environment, row["class"])
            except AegisError as error:
                reason = str(error)
            if reason is not None:
                self.log.warning("%s runs under our own account: as %s, %s", spec.name, account.name, reason)
                account = None
        self.started_for[spec.name] = row["changed_at"]
        self._start(spec, account=account)

    def _start(self, spec: Spec, **how: Any) -> None:
        file = self.settings.log_dir / f"{spec.name}.log"
        child = Child(spec, self.env_of, file, on_crash=self._crashed, **how)
        self.children[spec.name] = child
        child.start()
        self.log.info("starting %s", spec.name)

    async def _stop(self, name: str) -> None:
        self.log.info("stopping %s", name)
        await self.children[name].stop()
        del self.children[name]

    def _crashed(self, child: Child) -> None:
        name, status = child.spec.name, child.status
        detail = {"status": status, "last_words": list(child.last_words)}
        if child.given_up:
            message = f"{name} {status}: {CRASHES} crashes in {WINDOW:.0f} s, it is not started again"
            self.log.critical(message)
            self.news.append(News(message, name, detail, "crash_loop"))
        else:
            message = f"{name} {status} and is started again"
            self.log.error(message)
            self.news.append(News(message, name, detail, "hung_worker" if child.was_hung else None))
        self.wake.set()

    async def _tell_news(self) -> None:
        """Record pending news in the database; news is kept until the database is available."""
        while self.news:
            news = self.news[0]
            if news.incident is not None:
                detail = json.dumps({"message": news.message, **news.detail})
                await self.db.execute(INCIDENT, news.incident, news.subject, detail)
            await self.tell(ProcessError(news.message), **news.detail)
            self.news.popleft()

    async def _make_room(self, memory: float) -> int:
        """Stop the strategy that has been idle longest; return how many were stopped."""
        now = time.monotonic()
        await self._see_who_works(now)
        running = [
            name for name, child in self.children.items() if name.startswith("strategy.") and child.pid
        ]
        if not running or now < self.settled_at:
            return 0
        self.settled_at = now + SETTLE
        idlest = min(running, key=lambda name: self.work.get(name, (0, now))[1])
        idle = now - self.work.get(idlest, (0, now))[1]
        self.made_room.add(idlest)
        await self._stop(idlest)
        message = f"{idlest} is stopped to make room: memory is {memory:.0%} full, it was idle {idle:.0f} s"
        self.log.error(message)
        self.news.append(News(message, idlest, {"memory": round(memory, 3)}, "memory"))
        return 1

    async def _see_who_works(self, now: float) -> None:
        """Note since when each strategy has been idle."""
        worked = {row["login"]: row["worked"] or 0 for row in await self.db.fetch(WORKED)}
        for name, child in self.children.items():
            done = worked.get(child.spec.login, 0)
            if self.work.get(name, (-1, 0.0))[0] != done:
                self.work[name] = (done, now)


def core_specs(feed: Sequence[str] = ()) -> list[Spec]:
    """The workers that always run; price_sync gets the feed as its arguments."""
    return [Spec.of_worker(name, *(feed if name == "price_sync" else ())) for name in CORE]
