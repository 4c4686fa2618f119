"""The problems of processes, feeds and the database that the view `health` shows."""

from __future__ import annotations

from datetime import datetime

from cli.common.formats import Row, since

HEALTH = "select state, subject, problem, since from health order by state, since nulls first, subject"


def health_line(row: Row, at: datetime) -> str:
    """One problem as text."""
    return f"{row['subject']}: {row['problem']}{since(row['since'], at)}"
