"""What a worker process is told: its own login and password, and nothing of anybody else's."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from workers.runtime.database import direct_url
from workers.runtime.errors import AegisError
from workers.runtime.settings import Settings

FROM_US = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


class LoginError(AegisError):
    """A worker has no login to start with."""


def worker_env(settings: Settings, login: str) -> dict[str, str]:
    """The environment of a process with this login, made from our own settings and the secrets directory."""
    try:
        password = (settings.secrets_dir / login).read_text().strip()
    except OSError as error:
        raise LoginError(
            f"there is no password for {login}: {error.strerror}: {settings.secrets_dir / login}",
            hint="Run aegis db migrate: it creates the logins and their passwords.",
        ) from None
    env = {"AEGIS_DATABASE_URL": _as(direct_url(settings), login), "PGPASSWORD": password}
    if settings.pooled_url is not None:
        env["AEGIS_POOLED_URL"] = _as(settings.pooled_url, login)
    return env | same_settings(settings)


def same_settings(settings: Settings) -> dict[str, str]:
    """Our own settings, but for those that say who we are."""
    env = {
        "AEGIS_DATA_DIR": str(settings.data_dir),
        "AEGIS_SECRETS_DIR": str(settings.secrets_dir),
        "AEGIS_LOG_DIR": str(settings.log_dir),
        "AEGIS_LOG_LEVEL": settings.log_level,
        "AEGIS_NOTIFY": "on" if settings.notify else "off",
        "AEGIS_POLL": "on" if settings.poll else "off",
    }
    if settings.checkpoints is not None:
        env["AEGIS_CHECKPOINTS"] = str(settings.checkpoints)
    return env


def bare_environment() -> dict[str, str]:
    """The least a process needs to run our code; secrets of ours that happen to be here stay here."""
    env = {name: os.environ[name] for name in FROM_US if name in os.environ}
    env["PYTHONUNBUFFERED"] = "1"  # what a strategy prints is seen at once
    root = Path(__file__).parents[2]
    if "site-packages" not in root.parts:  # a checkout
        env["PYTHONPATH"] = str(root)
    return env


def _as(url: str, login: str) -> str:
    """The same address for another login, without a password."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(login, safe='')}@{where}"))
