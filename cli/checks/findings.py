"""The findings of the checks of `aegis doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One finding: its state (ok, warn or fail), the fact, and what to do."""

    state: str
    what: str
    todo: str | None = None


Found = Iterator[Finding]


def ok(what: str) -> Finding:
    return Finding("ok", what)


def warn(what: str, todo: str) -> Finding:
    return Finding("warn", what, todo)


def fail(what: str, todo: str) -> Finding:
    return Finding("fail", what, todo)
