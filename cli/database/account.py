"""Decide which account of this machine runs the server.

PostgreSQL refuses to run as root, so root runs it under another account: the owner of the data
directory if it exists, else `postgres`, else `nobody`.  Any other user runs it under their own account.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from cli.database.binaries import Binaries, ServerError


class RunAs(TypedDict, total=False):
    """The Popen arguments that change the account; empty when it does not change."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """An operating system account; peer authentication and initdb both need its name."""

    uid: int
    gid: int
    name: str

    @property
    def is_me(self) -> bool:
        return self.uid == os.geteuid()

    def run_as(self) -> RunAs:
        return RunAs() if self.is_me else RunAs(user=self.uid, group=self.gid, extra_groups=[])

    def give(self, path: Path | int) -> None:
        """Make this account the owner of a newly created file, given as a path or an open descriptor."""
        if not self.is_me:
            os.chown(path, self.uid, self.gid)

    def can(self, *test: str) -> bool:
        """Run `test` as this account, so that the kernel decides: `can("-x", path)`."""
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", 'test "$1" "$2"', "sh", *test], cwd="/", check=False, **self.run_as()
            )
        except PermissionError as error:
            raise ServerError(
                f"root may not act as {self.name} here ({error.strerror})",
                hint="This container forbids setuid; run Aegis as an ordinary user.",
            ) from error
        return done.returncode == 0


def server_account(data: Path) -> Account:
    """The account that owns this data directory, or will own it once it exists."""
    me = os.geteuid()
    owner = data.stat().st_uid if data.exists() else None
    if me != 0:
        if owner is not None and owner != me:
            whose = account_name(owner)
            raise ServerError(
                f"{data} belongs to {whose}, not to {account_name(me)}",
                hint=f"Run this as {whose} or as root, or set AEGIS_DATA_DIR to another directory.",
            )
        return _by_uid(me)
    if owner == 0:
        raise ServerError(
            f"{data} belongs to root, and PostgreSQL does not run as root",
            hint=f"Give it to the account that should run the server: chown -R postgres {data}",
        )
    if owner is not None:
        return _by_uid(owner)
    for name in ("postgres", "nobody"):
        if account := _by_name(name):
            return account
    raise ServerError(
        "root cannot run PostgreSQL itself, and there is no account postgres or nobody to run it",
        hint="Create one, for example: useradd --system postgres",
    )


def account_name(uid: int) -> str:
    """The name of a user id, or the number if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


def reachable_directory(directory: Path, account: Account) -> None:
    """Raise ServerError unless the account can enter the directory and all its parents."""
    if account.is_me or account.can("-x", str(directory)):
        return
    closed = [p for p in [*reversed(directory.parents), directory] if not account.can("-x", str(p))]
    raise ServerError(
        f"the account {account.name}, which runs the server for root, cannot enter {closed[0]}",
        hint="Set AEGIS_DATA_DIR to a directory all accounts can reach, such as /var/lib/aegis.",
    )


def reachable_binaries(binaries: Binaries, account: Account, store: Path) -> Binaries:
    """Binaries that the account can run: the given ones, or a copy made once in `store`.

    The account that runs the server for root cannot read a virtual environment inside a private
    home directory.  Copy the programs instead of loosening the permissions of the home directory.
    """
    if account.is_me or account.can("-x", str(binaries.bin / "postgres")):
        return binaries
    prefix = binaries.bin.parent
    package = prefix.parent
    target = store / binaries.version
    copied = target / package.name / prefix.name / binaries.bin.name
    if not copied.is_dir():
        unfinished = store / f"{binaries.version}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(prefix, unfinished / package.name / prefix.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        _open_to_all(store, unfinished)
        unfinished.rename(target)
    return Binaries(copied, binaries.version)


def _open_to_all(store: Path, tree: Path) -> None:
    store.chmod(0o755)
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
            if stat.S_IXUSR & path.stat().st_mode:
                path.chmod(path.stat().st_mode | 0o111)


def _by_uid(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise ServerError(
            f"user id {uid} has no name on this machine, and PostgreSQL needs one",
            hint="Add an entry for it to /etc/passwd.",
        ) from error
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _by_name(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
