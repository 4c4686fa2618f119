"""The environment of a worker process: its own login and password, and no other process's secrets."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from workers.runtime.database import direct_url
from workers.runtime.errors import AegisError
from workers.runtime.settings import Settings, to_environment

FROM_US = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


class LoginError(AegisError):
    """The login of a worker has no password file."""


def worker_env(settings: Settings, login: str) -> dict[str, str]:
    """The environment of a process with this login, built from our settings and the secrets directory."""
    try:
        password = (settings.secrets_dir / login).read_text().strip()
    except OSError as error:
        raise LoginError(
            f"there is no password for {login}: {error.strerror}: {settings.secrets_dir / login}",
            hint="Run aegis db migrate: it creates the logins and their passwords.",
        ) from None
    own = replace(
        settings,
        database_url=_as(direct_url(settings), login),
        pooled_url=None if settings.pooled_url is None else _as(settings.pooled_url, login),
    )
    return {"PGPASSWORD": password} | to_environment(own)


def bare_environment() -> dict[str, str]:
    """The minimum a process needs to run our code; secrets in our own environment are not passed on."""
    env = {name: os.environ[name] for name in FROM_US if name in os.environ}
    env["PYTHONUNBUFFERED"] = "1"  # what a strategy prints reaches its log at once
    root = Path(__file__).parents[2]
    if "site-packages" not in root.parts:  # a checkout
        env["PYTHONPATH"] = str(root)
    return env


def _as(url: str, login: str) -> str:
    """The same URL with another login and no password."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(login, safe='')}@{where}"))
