"""Errors between the command line and the database, each with a message and a hint."""

from workers.runtime.errors import AegisError


class DatabaseError(AegisError):
    """The database cannot be used as asked; nothing was changed."""


class MigrationError(DatabaseError):
    """A deployment was refused or failed; the database is as it was before."""


class BackupError(DatabaseError):
    """A backup could not be taken, archived or restored; no existing data was lost."""
