"""The error class of all feeds, in its own file so that each feed can import it."""

from __future__ import annotations

from workers.runtime.errors import AegisError


class FeedError(AegisError):
    """A feed cannot start or continue."""
