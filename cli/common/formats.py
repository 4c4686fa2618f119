"""How values look: for people in tables and sentences, and in JSON.

In tables and in JSON decimals are never rounded, and nowhere are they converted to float.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""One row of a query, by column name."""

WHOLE = ("KRW", "JPY")  # currencies without cents


def show(value: Any) -> str:
    """Format a value for a person."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return _plain(value)
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case timedelta():
            return _duration(value)
        case dict():
            return to_json(value, indent=None)
        case list() | tuple():
            return ", ".join(map(show, value))
    return str(value)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON with decimals as strings, so that no program reads them as floats by accident."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=_jsonable)


def money(amount: Decimal, currency: str, *, sign: bool = False) -> str:
    """An amount for a person: 99,912,345 KRW, -12.50 USDT."""
    digits = 0 if currency in WHOLE else 2
    return f"{amount:{'+' if sign else ''},.{digits}f} {currency}"


def clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%H:%M:%S")


def since(moment: datetime | None, at: datetime) -> str:
    """The text " since TIME", with the date if that is 12 hours ago or more."""
    if moment is None:
        return ""
    day = "" if at - moment < timedelta(hours=12) else f"{moment.astimezone():%Y-%m-%d} "
    return f" since {day}{clock(moment)}"


def _plain(value: Decimal) -> str:
    """A decimal without trailing zeros: 71000 for 71000.00000000."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if abs(seconds) >= 1 or not seconds else f"{seconds * 1000:.1f} ms"


def _jsonable(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
    return str(value)
