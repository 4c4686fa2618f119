"""What can go wrong between the command line and the database, told as a fact and a next step."""

from workers.runtime.errors import AegisError


class DatabaseError(AegisError):
    """The database cannot be used as asked; nothing was changed."""


class MigrationError(DatabaseError):
    """A deployment was refused or failed; the database is as it was before."""


class BackupError(DatabaseError):
    """A backup could not be taken, kept or put back; what was there is still there."""
