"""Settings of a process: connections, directories and secrets.

The environment takes precedence over a secret file, and a secret file over aegis.toml.  Whatever affects
trading is in tables instead.  A wrong or unknown setting stops the program at once; the error names it as the
user wrote it and says what is allowed, because silently ignoring a misspelt setting would be dangerous.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from workers.runtime.errors import AegisError

PREFIX = "AEGIS_"
FILE_NAME = "aegis.toml"
READ_ELSEWHERE = re.compile(r"AEGIS_(CONFIG|SAMPLE_RECORDING|TEST_\w+)")


class SettingsError(AegisError):
    """A setting is wrong or unknown."""


def default_data_dir() -> Path:
    """The default data directory: system-wide for root, the user's own for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/aegis")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "aegis"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "aegis"


def _postgres_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("should be a URL such as postgresql://user@host:5432/database")
    return value


def _database_name(value: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value):
        raise ValueError("should be at most 63 lowercase letters, digits and _, and not begin with a digit")
    return value


def _on_or_off(value: Any) -> bool:
    if value in (True, "on"):
        return True
    if value in (False, "off"):
        return False
    raise ValueError("should be on or off")


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


Url = Annotated[str, AfterValidator(_postgres_url)]
Name = Annotated[str, AfterValidator(_database_name)]
Directory = Annotated[Path, AfterValidator(_absolute)]
Switch = Annotated[bool, BeforeValidator(_on_or_off)]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


class Settings(BaseSettings):
    """What a process must know before it can connect to the database."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    database_url: Url | None = Field(default=None, repr=False)
    """An external server, or the URL of a worker's own login.  Without it the embedded server is used."""
    pooled_url: Url | None = Field(default=None, repr=False)
    """The same database through PgBouncer in transaction mode, for all but the LISTEN connection."""
    database: Name = "demo"
    """The database on the embedded server."""
    data_dir: Directory = Field(default_factory=default_data_dir)
    secrets_dir: Directory = Path()
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

    @model_validator(mode="before")
    @classmethod
    def _inside_data_dir(cls, values: dict[str, Any]) -> dict[str, Any]:
        data_dir = Path(values.get("data_dir") or default_data_dir())
        return {"secrets_dir": data_dir / "secrets", "log_dir": data_dir / "logs"} | values

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The precedence: environment, secret files, then the values `load_settings` read from aegis.toml."""
        return env_settings, file_secret_settings, init_settings


def load_settings() -> Settings:
    """Read the settings; raise SettingsError that names each wrong one and what is allowed."""
    file = _config_file()
    values = _read_toml(file)
    wrong = [*_unknown_in_environment(), *_unknown_in_file(values, file)]
    if wrong:
        raise SettingsError("\n".join(wrong))
    try:
        settings = Settings(**values)
        if os.access(settings.secrets_dir, os.R_OK | os.X_OK):
            settings = Settings(_secrets_dir=settings.secrets_dir, **values)  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(error, values, file))) from None
    return settings


def _config_file() -> Path:
    named = os.environ.get("AEGIS_CONFIG")
    if named and not Path(named).is_file():
        raise SettingsError(f"AEGIS_CONFIG={named} is not a file; set it to an existing file, or unset it")
    return Path(named or FILE_NAME)


def _read_toml(file: Path) -> dict[str, Any]:
    if not os.access(file, os.R_OK):
        return {}
    try:
        return tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _unknown_in_environment() -> Iterator[str]:
    known = {_variable(field) for field in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not READ_ELSEWHERE.fullmatch(name):
            right = _suggest(name.removeprefix(PREFIX).lower(), _variable)
            yield f"{name} (environment) is not a setting; {right}"


def _unknown_in_file(values: dict[str, Any], file: Path) -> Iterator[str]:
    for name in sorted(set(values).difference(Settings.model_fields)):
        yield f"{name} ({file}) is not a setting; {_suggest(name, str)}"


def _suggest(field: str, spell: Callable[[str], str]) -> str:
    close = get_close_matches(field, Settings.model_fields, n=1)
    if close:
        return f"did you mean {spell(close[0])}?"
    return f"the settings are {', '.join(map(spell, Settings.model_fields))}"


def _explain(error: ValidationError, values: dict[str, Any], file: Path) -> Iterator[str]:
    for one in error.errors():
        field = str(one["loc"][0])
        variable = _variable(field)
        if variable in os.environ:
            named = f"{variable} (environment)"
        else:
            named = f"{field} ({file if field in values else 'secrets directory'})"
        right = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
        given = "" if field.endswith("_url") else f" {one['input']!r}"
        yield f"{named}{given}: {right}"
