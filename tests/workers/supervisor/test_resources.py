"""What the supervisor starts with: passwords, the core workers, and measures of this machine."""

import os
import subprocess

import pytest

from workers.runtime.logins import LoginError, worker_env
from workers.runtime.memory import CpuMeter, memory_used, resident_bytes
from workers.runtime.registry import CORE
from workers.runtime.settings import Settings
from workers.supervisor import core_specs


def test_the_supervisor_finds_each_login_s_password_in_the_secrets_directory(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "aegis_w_exits").write_text("pw\n")
    url = "postgresql://aegis_w_supervisor:secret@/demo?host=/run/x&port=5432"
    settings = Settings(database_url=url, pooled_url="postgresql://who@pooler:6432/demo", data_dir=tmp_path)

    env = worker_env(settings, "aegis_w_exits")

    assert env["AEGIS_DATABASE_URL"] == "postgresql://aegis_w_exits@/demo?host=/run/x&port=5432"
    assert env["AEGIS_POOLED_URL"] == "postgresql://aegis_w_exits@pooler:6432/demo"
    assert env["PGPASSWORD"] == "pw"
    assert "secret" not in "".join(value for name, value in env.items() if name != "AEGIS_SECRETS_DIR")
    with pytest.raises(LoginError, match="no password for aegis_w_router"):
        worker_env(settings, "aegis_w_router")


def test_the_core_workers_have_logins_of_their_own_and_the_feed_goes_to_price_sync():
    specs = {spec.name: spec for spec in core_specs(("sim:7", "--speed"))}

    assert set(specs) == set(CORE)
    assert len({spec.login for spec in specs.values()}) == len(specs)
    assert specs["price_sync"].command[-2:] == ("sim:7", "--speed")
    assert specs["router"].command[-1] == "router"


def test_memory_and_processor_are_shares():
    meter = CpuMeter(over=1.0)
    assert meter.used() is None
    started, *ticks = meter._samples[0]
    meter._samples[0] = (started - 2, *ticks)

    assert 0 < memory_used() < 1
    assert 0 <= meter.used() <= 1
    assert 5_000_000 < resident_bytes() < 1_000_000_000
    assert resident_bytes(os.getpid()) == pytest.approx(resident_bytes(), rel=0.2)
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert resident_bytes(ended.pid) is None
