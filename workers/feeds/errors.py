"""The one error of all feeds, in a file of its own so that each feed can raise it."""

from __future__ import annotations

from workers.runtime.errors import AegisError


class FeedError(AegisError):
    """A feed cannot start or go on."""
