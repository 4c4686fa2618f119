"""The one error of all feeds, in a file of its own so that each feed can raise it."""

from __future__ import annotations


class FeedError(Exception):
    """A feed cannot start or go on; the message says what is wrong and what would be right."""
