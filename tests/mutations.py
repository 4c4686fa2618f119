"""Take out one law at a time and see that a test fails.

A test that passes without the constraint it is about proves nothing.  Each row of the table names a law, the
object that keeps it, the SQL that removes the object, and the test that must then fail.

    python -m tests.mutations            all of them, as a table; exit status 1 if one survives
    python -m tests.mutations L2 L7      those of some laws, or whose object contains a word
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One law less, and the test that notices."""

    law: str
    removed: str
    sql: str
    test: str
