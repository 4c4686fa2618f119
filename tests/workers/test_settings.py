"""The error for a wrong or unknown setting names the setting and what would be right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workers.runtime import settings as module
from workers.runtime.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    for name in [name for name in module.os.environ if name.startswith("AEGIS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AEGIS_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def secret(tmp_path):
    directory = tmp_path / "data" / "secrets"
    directory.mkdir(parents=True)

    def write(name, content):
        (directory / name).write_text(content)

    return write


def refusal():
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


def test_with_nothing_set_it_is_the_demo_on_the_embedded_server(monkeypatch):
    monkeypatch.delenv("AEGIS_DATA_DIR")

    settings = load_settings()

    assert settings.database_url is None
    assert settings.database == "demo"
    assert settings.secrets_dir == settings.data_dir / "secrets"
    assert settings.log_dir == settings.data_dir / "logs"
    assert settings.notify
    assert settings.poll


def test_root_and_people_keep_data_in_different_places(monkeypatch):
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    assert module.default_data_dir() == Path("/var/lib/aegis")

    monkeypatch.setattr(module.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "/home/kim/data")
    assert module.default_data_dir() == Path("/home/kim/data/aegis")


def test_the_environment_wins_over_a_secret_and_a_secret_over_the_file(monkeypatch, secret):
    Path("aegis.toml").write_text(
        'database = "from_file"\nlog_level = "debug"\npooled_url = "postgresql://f/d"'
    )
    secret("aegis_database", "from_secret")
    secret("aegis_pooled_url", "postgresql://s/d")
    monkeypatch.setenv("AEGIS_DATABASE", "from_environment")

    settings = load_settings()

    assert (settings.database, settings.pooled_url, settings.log_level) == (
        "from_environment",
        "postgresql://s/d",
        "DEBUG",
    )


def test_the_passwords_of_logins_in_the_secrets_directory_are_no_settings(secret):
    secret("aegis_desk", "password")

    assert load_settings().database_url is None


def test_a_relocated_data_directory_takes_secrets_and_logs_along(monkeypatch, tmp_path):
    Path("aegis.toml").write_text(f'data_dir = "{tmp_path}/elsewhere"')
    monkeypatch.delenv("AEGIS_DATA_DIR")

    settings = load_settings()

    assert settings.secrets_dir == tmp_path / "elsewhere" / "secrets"
    assert settings.log_dir == tmp_path / "elsewhere" / "logs"


def test_a_secret_is_never_printed(monkeypatch):
    monkeypatch.setenv("AEGIS_DATABASE_URL", "postgresql://me:hunter2@host/db")

    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AEGIS_DATABSE_URL", "postgresql://h/d", "did you mean AEGIS_DATABASE_URL?"),
        ("AEGIS_COLOUR", "blue", "the settings are AEGIS_DATABASE_URL, "),
        ("AEGIS_LOG_LEVEL", "loud", "should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        (
            "AEGIS_DATABASE_URL",
            "host=/tmp dbname=demo",
            "should be a URL such as postgresql://user@host:5432/database",
        ),
        ("AEGIS_DATABASE", "Demo-1", "lowercase letters, digits and _"),
        ("AEGIS_POLL", "maybe", "should be on or off"),
        ("AEGIS_CONFIG", "/no/such/file.toml", "is not a file"),
    ],
)
def test_a_wrong_variable_names_itself_and_what_would_be_right(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)

    refused = refusal()

    assert name in refused
    assert said in refused


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('log_levl = "INFO"', "log_levl (aegis.toml) is not a setting; did you mean log_level?"),
        ('log_level = "loud"', "log_level (aegis.toml) 'LOUD': should be 'DEBUG'"),
        ("poll = 7", "poll (aegis.toml) 7: should be on or off"),
        ("log_level = ", "aegis.toml is not valid TOML: Invalid value"),
    ],
)
def test_a_wrong_line_in_the_file_names_itself_and_what_would_be_right(line, said):
    Path("aegis.toml").write_text(line)

    assert said in refusal()


def test_a_wrong_url_is_named_but_not_shown(monkeypatch):
    monkeypatch.setenv("AEGIS_DATABASE_URL", "me:hunter2@host")

    assert "hunter2" not in refusal()


def test_every_wrong_setting_is_named_at_once(monkeypatch):
    monkeypatch.setenv("AEGIS_LOG_LEVEL", "loud")
    Path("aegis.toml").write_text('database = "Demo-1"')

    assert refusal().count("\n") == 1


def test_a_wrong_secret_says_where_it_is(secret):
    secret("aegis_log_level", "loud")

    assert "log_level (secrets directory)" in refusal()


def test_a_process_started_by_us_reads_the_same_settings_without_pydantic(monkeypatch, tmp_path):
    given = module.Settings(
        database_url="postgresql://me@h/d",
        data_dir=tmp_path,
        log_dir=tmp_path / "elsewhere",
        log_level="DEBUG",
        notify=False,
        checkpoints=tmp_path / "socket",
    )
    environment = module.to_environment(given)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    program = (
        "import sys, workers.execution, workers.runtime.process as process;"
        "settings = process.load_settings();"
        "assert 'pydantic' not in sys.modules, 'it takes longer to import than all the rest';"
        "print(repr(settings), settings.database_url)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert load_settings() == given
    assert done.stdout.strip() == f"{given!r} {given.database_url}", done.stderr
