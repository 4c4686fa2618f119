"""As root, a strategy runs under another account, if that account can run it."""

import os
import pwd
import shutil
import sys
import sysconfig

import pytest

from tests.workers.supervisor.supervisor_kit import MOMENTUM, ROOT, STRATEGIES, row
from workers.runtime import account as accounts
from workers.runtime.account import Account, why_not
from workers.runtime.child import environment

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a strategy as another account")
SYSTEM_PYTHON = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/bin")


@pytest.fixture
def nobody(monkeypatch):
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid, "nobody")


@root_only
@pytest.mark.skipif(SYSTEM_PYTHON is None, reason="needs an interpreter that every account can run")
async def test_as_root_a_strategy_runs_under_another_account(
    db, dsn, supervise, add_strategy, nobody, monkeypatch
):
    monkeypatch.setattr("workers.supervisor.strategy_account", accounts.strategy_account)
    monkeypatch.setattr(sys, "executable", SYSTEM_PYTHON)
    packages = f"{ROOT}:{sysconfig.get_path('purelib')}"
    add_strategy("one")

    supervise(env_of=lambda login: {"AEGIS_DATABASE_URL": dsn(login), "PYTHONPATH": packages})
    await row(db, STRATEGIES, ["strategy.one"])

    pid = db.execute("select pid from api.workers where name = 'strategy.one'").fetchone()[0]
    assert os.stat(f"/proc/{pid}").st_uid == nobody.uid  # noqa: PTH116 (of a path that is none)


@root_only
async def test_where_that_account_cannot_run_it_the_log_says_why_and_it_runs(
    db, supervise, add_strategy, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("workers.supervisor.strategy_account", accounts.strategy_account)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copy(ROOT / "workers" / "strategies" / "momentum.py", closed / "mine.py")
    add_strategy("one", f"{closed / 'mine.py'}:Momentum")

    supervise()
    await row(db, STRATEGIES, ["strategy.one"])

    assert "strategy.one runs under our own account: as nobody, " in caplog.text


@root_only
async def test_an_account_that_cannot_run_our_interpreter_is_told_apart(nobody, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert await why_not(nobody, environment({}), MOMENTUM) is not None


def test_an_ordinary_user_has_no_other_account(monkeypatch, tmp_path):
    monkeypatch.setattr(accounts.os, "geteuid", lambda: 1000)

    assert accounts.strategy_account(tmp_path) is None


@root_only
def test_strategies_never_run_as_the_account_whose_peer_is_the_superuser(nobody, tmp_path):
    assert accounts.strategy_account(tmp_path) == nobody

    os.chown(tmp_path, nobody.uid, nobody.gid)

    chosen = accounts.strategy_account(tmp_path)
    assert chosen is None or chosen.uid != nobody.uid
