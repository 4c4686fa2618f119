"""Settings of a process: connections, directories and secrets.

The environment takes precedence over a secret file, and a secret file over aegis.toml.  Whatever affects
trading is in tables instead.  `settings_sources` reads and checks all three.  A process that the supervisor
starts finds checked settings in its environment and does not load that module: it takes longer to import than
all the rest of a worker.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from workers.runtime.errors import AegisError

PREFIX = "AEGIS_"
CHECKED = "AEGIS_SETTINGS_ARE_CHECKED"


class SettingsError(AegisError):
    """A setting is wrong or unknown."""


def default_data_dir() -> Path:
    """The default data directory: system-wide for root, the user's own for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/aegis")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "aegis"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "aegis"


def _postgres_url(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("should be a URL such as postgresql://user@host:5432/database")
    return value


def _database_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value):
        raise ValueError("should be at most 63 lowercase letters, digits and _, and not begin with a digit")
    return value


def _directory(value: Any) -> Path:
    if not isinstance(value, str | Path):
        raise ValueError("should be the path of a directory")
    return Path(value).expanduser().absolute()


def _on_or_off(value: Any) -> bool:
    if value in (True, "on"):
        return True
    if value in (False, "off"):
        return False
    raise ValueError("should be on or off")


def _level(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


# A type, and the function that checks and converts what a source gives.
Url = Annotated[str, _postgres_url]
Name = Annotated[str, _database_name]
Directory = Annotated[Path, _directory]
Switch = Annotated[bool, _on_or_off]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], _level]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process must know before it can connect to the database."""

    database_url: Url | None = field(default=None, repr=False)
    """An external server, or the URL of a worker's own login.  Without it the embedded server is used."""
    pooled_url: Url | None = field(default=None, repr=False)
    """The same database through PgBouncer in transaction mode, for all but the LISTEN connection."""
    database: Name = "demo"
    """The database on the embedded server."""
    data_dir: Directory = field(default_factory=default_data_dir)
    secrets_dir: Directory = Path()
    """By default inside data_dir, as log_dir."""
    log_dir: Directory = Path()
    log_level: Level = "INFO"
    pg_bin: Directory | None = None
    """The directory of the PostgreSQL binaries; by default they are searched for."""
    notify: Switch = True
    """Off: workers do not LISTEN.  Shows that notifications are only hints."""
    poll: Switch = True
    """Off: workers do not poll.  Shows that no work depends on polling."""
    checkpoints: Directory | None = None
    """A unix socket through which a test pauses processes at named steps."""

    def __post_init__(self) -> None:
        for name, folder in (("secrets_dir", "secrets"), ("log_dir", "logs")):
            if getattr(self, name) == Path():
                object.__setattr__(self, name, self.data_dir / folder)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def to_environment(settings: Settings) -> dict[str, str]:
    """Checked settings as the environment of a process; `load_settings` there reads them as they are."""
    values = {one.name: getattr(settings, one.name) for one in fields(settings)}
    spelt = {True: "on", False: "off"}
    return {CHECKED: "on"} | {
        variable(name): spelt[value] if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None
    }


def load_settings() -> Settings:
    """Read the settings; raise SettingsError that names each wrong one and what is allowed."""
    if CHECKED not in os.environ:
        from workers.runtime.settings_sources import read_settings

        return read_settings()
    given = {name: os.environ.get(variable(name)) for name in CHECKS}
    values: dict[str, Any] = {name: CHECKS[name](value) for name, value in given.items() if value is not None}
    return Settings(**values)


def _check_of(hint: Any) -> Callable[[Any], Any]:
    """The function that checks a setting, from its type: `Annotated`, alone or with None."""
    while not hasattr(hint, "__metadata__"):
        hint, _ = get_args(hint)
    check: Callable[[Any], Any] = hint.__metadata__[0]
    return check


CHECKS = {name: _check_of(hint) for name, hint in get_type_hints(Settings, include_extras=True).items()}
