"""Logs as JSON lines, one object per record; on a terminal they are printed as readable text.

A worker writes to stderr and its supervisor stores the output.  So a crash before or below Python's logging
is stored too, and a strategy needs no right to write files.  A process without a supervisor (the supervisor
itself, `aegis worker run`) also writes its own file.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

FILE_BYTES = 5_000_000
FILES_KEPT = 3
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object on one line: ts, level, worker, message, then the fields passed as `extra`."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self.worker = worker

    def format(self, record: logging.LogRecord) -> str:
        entry = make_entry(self.worker, record.levelname, record.getMessage(), at=record.created)
        if record.name not in ("aegis", f"aegis.{self.worker}"):
            entry["logger"] = record.name
        entry |= {name: value for name, value in vars(record).items() if name not in OF_EVERY_RECORD}
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = _describe(record.exc_info[1])
        return json.dumps(entry, default=str, ensure_ascii=False)


class Readable(JsonLines):
    """The same record as readable text for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return render(json.loads(super().format(record)), colour=True)


def make_entry(worker: str, level: str, message: str, *, at: float | None = None) -> dict[str, Any]:
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    stamp = moment.isoformat(timespec="milliseconds")
    return {"ts": stamp, "level": level, "worker": worker, "message": message}


def _describe(error: BaseException) -> dict[str, Any]:
    about = {"class": type(error).__name__, "message": str(error)}
    for part in ("sqlstate", "detail", "hint"):
        if value := getattr(error, part, None):
            about[part] = value
    about["traceback"] = "".join(traceback.format_exception(error))
    return about


def setup(worker: str, level: str = "INFO", file: Path | None = None) -> None:
    """Send all logs of this process to stderr (readable on a terminal) and to a file if one is given."""
    to_stderr = logging.StreamHandler()
    to_stderr.setFormatter((Readable if sys.stderr.isatty() else JsonLines)(worker))
    logging.basicConfig(level=level, handlers=[to_stderr], force=True)
    logging.captureWarnings(True)
    if file is None:
        return
    try:
        to_file = open_file(file)
    except OSError as error:
        logging.getLogger("aegis").warning("no log file: %s", error)
        return
    to_file.setFormatter(JsonLines(worker))
    logging.getLogger().addHandler(to_file)


def open_file(file: Path) -> RotatingFileHandler:
    """A log file that keeps its last 20 MB, in a directory that only its owner may enter."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")


def keep_line(handler: logging.Handler, worker: str, line: str, level: str = "ERROR") -> None:
    """Store a line that a process wrote: unchanged if it is a log entry, else as the message of a new one."""
    if parse(line) is None:
        line = json.dumps(make_entry(worker, level, line), ensure_ascii=False)
    handler.emit(logging.makeLogRecord({"msg": line, "levelno": logging.INFO}))


def parse(line: str) -> dict[str, Any] | None:
    """The log entry on a line, or None when the line is none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(entry, dict) and {"ts", "level", "worker", "message"} <= set(entry)
    return entry if whole else None


def render(entry: Mapping[str, Any], *, colour: bool = False) -> str:
    """An entry as readable text in local time: one line, then the traceback if there is one."""
    rest = dict(entry)
    moment = datetime.fromisoformat(rest.pop("ts")).astimezone()
    level, worker, message = (_harmless(rest.pop(name)) for name in ("level", "worker", "message"))
    error: dict[str, Any] = rest.pop("error", None) or {}
    trace = error.pop("traceback", "")
    rest |= {f"error.{name}": value for name, value in error.items() if name != "message"}

    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    line = f"{paint(f'{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}', '2')} "
    line += f"{paint(f'{level:<7}', COLOURS.get(level, '0'))} {paint(f'{worker:<12}', '36')} {message}"
    facts = " ".join(f"{name}={_harmless(value)}" for name, value in rest.items())
    line += f"  {paint(facts, '2')}" if facts else ""
    trace = _harmless(trace.rstrip(), keep="\n")
    return f"{line}\n{paint(trace, '2')}" if trace else line


def _harmless(value: object, keep: str = "") -> str:
    """The value as text with control characters escaped: a log may contain text from untrusted sources."""
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in str(value))
