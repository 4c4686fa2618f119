"""Read the settings from the environment, the secrets directory and aegis.toml, and check them.

A wrong or unknown setting stops the program at once; the error names it as the user wrote it and says what is
allowed, because silently ignoring a misspelt setting would be dangerous.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import BeforeValidator, Field, ValidationError, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from workers.runtime.settings import CHECKS, PREFIX, Settings, SettingsError, variable

FILE_NAME = "aegis.toml"
READ_ELSEWHERE = re.compile(r"AEGIS_(CONFIG|SAMPLE_RECORDING|TEST_\w+)")
NAMES = list(CHECKS)


class _Sources(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", validate_default=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The precedence: environment, secret files, then the values read from aegis.toml."""
        return env_settings, file_secret_settings, init_settings


def _model() -> Callable[..., _Sources]:
    """The settings as a model of pydantic."""
    made: dict[str, Any] = {
        name: (Annotated[hint, BeforeValidator(CHECKS[name])], Field(default=None))
        for name, hint in get_type_hints(Settings).items()
    }
    return create_model("Sources", __base__=_Sources, **made)


def read_settings() -> Settings:
    """Read the settings; raise SettingsError that names each wrong one and what is allowed."""
    file = _config_file()
    values = _read_toml(file)
    wrong = [*_unknown_in_environment(), *_unknown_in_file(values, file)]
    if wrong:
        raise SettingsError("\n".join(wrong))
    model = _model()
    try:
        settings = Settings(**model(**values).model_dump(exclude_unset=True))
        if os.access(settings.secrets_dir, os.R_OK | os.X_OK):
            found = model(_secrets_dir=settings.secrets_dir, **values)
            settings = Settings(**found.model_dump(exclude_unset=True))
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


def _unknown_in_environment() -> Iterator[str]:
    known = {variable(field) for field in NAMES}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not READ_ELSEWHERE.fullmatch(name):
            right = _suggest(name.removeprefix(PREFIX).lower(), variable)
            yield f"{name} (environment) is not a setting; {right}"


def _unknown_in_file(values: dict[str, Any], file: Path) -> Iterator[str]:
    for name in sorted(set(values).difference(NAMES)):
        yield f"{name} ({file}) is not a setting; {_suggest(name, str)}"


def _suggest(field: str, spell: Callable[[str], str]) -> str:
    close = get_close_matches(field, NAMES, n=1)
    if close:
        return f"did you mean {spell(close[0])}?"
    return f"the settings are {', '.join(map(spell, NAMES))}"


def _explain(error: ValidationError, values: dict[str, Any], file: Path) -> Iterator[str]:
    for one in error.errors():
        field = str(one["loc"][0])
        if variable(field) in os.environ:
            named = f"{variable(field)} (environment)"
        else:
            named = f"{field} ({file if field in values else 'secrets directory'})"
        right = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
        given = "" if field.endswith("_url") else f" {one['input']!r}"
        yield f"{named}{given}: {right}"
