"""The generated passwords of the logins: one file per login, readable only by its owner.

The file holds the password; the server holds a SCRAM verifier made from it.  A file is created atomically,
and if two processes create it at once the first wins, so both set the same password.
"""

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from cli.database.errors import DatabaseError


def password_of(login: str, directory: Path) -> str:
    """The password of this login; raise DatabaseError if it is missing or this account may not read it."""
    try:
        return (directory / login).read_text().strip()
    except FileNotFoundError:
        raise DatabaseError(
            f"there is no password for {login} in {directory}",
            hint="Run aegis db migrate: it creates the logins and their passwords.",
        ) from None
    except PermissionError:
        raise DatabaseError(
            f"this account may not read the password of {login} in {directory}",
            hint="Run this as the account that runs Aegis, or set AEGIS_DATA_DIR to your own.",
        ) from None


def ensure_password(login: str, directory: Path) -> str:
    """The password of this login, generated now if there is none yet."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if directory.stat().st_mode & 0o077:
        directory.chmod(0o700)
    file = directory / login
    if not file.exists():
        _create(file, secrets.token_urlsafe(24))
    if file.stat().st_mode & 0o077:
        file.chmod(0o600)
    return password_of(login, directory)


def matches(password: str, verifier: str | None) -> bool:
    """Whether a SCRAM verifier, as pg_authid stores it, was made from this password."""
    if not verifier or not verifier.startswith("SCRAM-SHA-256$"):
        return False
    rounds_and_salt, keys = verifier.removeprefix("SCRAM-SHA-256$").split("$")
    rounds, salt = rounds_and_salt.split(":")
    stored_key = keys.split(":")[0]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), base64.b64decode(stored_key))


def _create(file: Path, content: str) -> None:
    """Write a temporary file with mode 0600 and hard-link it into place, unless the file already exists."""
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(content + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        file.hardlink_to(temporary)
    except FileExistsError:
        pass  # another process created it first; use its password
    finally:
        Path(temporary).unlink()
