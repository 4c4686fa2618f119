"""Worker names and their classes, imported only when run, so that a process loads no other worker's code."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from workers.runtime.errors import AegisError

if TYPE_CHECKING:
    from workers.runtime.worker import Worker

WORKERS = {
    "supervisor": "workers.supervisor:Supervisor",
    "price_sync": "workers.price_sync:PriceSync",
    "router": "workers.router:Router",
    "exits": "workers.exits:Exits",
    "execution": "workers.execution:Execution",
    "reconcile": "workers.reconcile:Reconcile",
    "risk": "workers.risk:Risk",
    "scheduler": "workers.scheduler:Scheduler",
    "strategy": "workers.strategy:StrategyWorker",
}
CORE = ("price_sync", "router", "exits", "execution", "reconcile", "risk", "scheduler")
"""The workers that always run; `strategy` runs once for each active strategy."""


class UnknownWorkerError(AegisError):
    """There is no worker with that name."""


def worker_class(name: str) -> type[Worker]:
    where = WORKERS.get(name)
    if where is None:
        close = get_close_matches(name, WORKERS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"The workers are {', '.join(WORKERS)}."
        raise UnknownWorkerError(f"there is no worker {name}", hint=hint)
    module, _, cls = where.partition(":")
    found: type[Worker] = getattr(import_module(module), cls)
    return found


def process_name(name: str, args: tuple[str, ...] = ()) -> str:
    """The name of a process in its log and in the supervisor: `execution`, `strategy.momentum`."""
    return f"{name}.{args[0]}" if name == "strategy" and args else name


def login_of(name: str, args: tuple[str, ...] = ()) -> str:
    """The database login of that process; each strategy has its own."""
    return f"aegis_s_{args[0]}" if name == "strategy" and args else f"aegis_w_{name}"
