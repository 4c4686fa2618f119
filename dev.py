#!/usr/bin/env python3
"""Make Aegis run from a fresh checkout, with nothing but Python 3.11 or newer.

    python3 dev.py up [args]       start everything and watch it trade (aegis up)
    python3 dev.py test [args]     linters, type checker and tests; args go to pytest
    python3 dev.py test --quick    the same with the tests that find most, in about a minute
    python3 dev.py check           linters and type checker alone
    python3 dev.py bench [args]    the benchmarks
    python3 dev.py aegis [args]    any other command, such as `aegis --help`
    python3 dev.py setup           only make the environment

The environment lives in .venv and is rebuilt when requirements.lock or pyproject.toml changes.
This script uses only the standard library, and never installs into the system's interpreter.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements.lock"
OLDEST = (3, 11)
CHECKS = {
    "ruff": ["ruff", "check", "--quiet", "."],
    "ruff format": ["ruff", "format", "--quiet", "--check", "."],
    "mypy": ["mypy", "--no-error-summary"],
    "sqlfluff": ["sqlfluff", "lint", "--processes", "2", "schema", "sql"],
}
# What finds most in little time: how the SQL is made, and the laws that most changes touch.
QUICK_LAWS = {
    "modes": "halt halt_races mode_changes sells_in_halt unknown_mode",
    "reservations": "reservations reservation_races releases",
    "orders": "lifecycle one_live_order claims decisions doubts answers cancels expiry strays late_facts",
    "fills": "fills profit unmatched executions",
    "exits": "exits failed_exits amends amend_answers",
    "prices": "prices",
    "strategies": "picks gates",
    "history": "history",
}
QUICK = [
    "tests/test_docs.py",
    *(f"tests/sql/test_{name}.py" for name in ("catalog", "shape", "growth", "privileges", "null_logic")),
    "tests/sql/laws/test_law_audit.py",
    *(
        f"tests/sql/laws/{folder}/test_{name}.py"
        for folder, names in QUICK_LAWS.items()
        for name in names.split()
    ),
]


class SetupError(Exception):
    """The setup failed, or the command is wrong; the message says what to do."""


class Environment:
    """A virtual environment with Aegis and the locked packages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.python = path / "bin" / "python"
        self.stamp = path / "aegis.stamp"

    @property
    def wanted(self) -> str:
        """The expected content of the stamp; otherwise the packages may differ from the locked ones."""
        parts = (LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode())
        return ".".join(map(str, sys.version_info[:2])) + " " + hashlib.sha256(b"\0".join(parts)).hexdigest()

    @property
    def is_ready(self) -> bool:
        try:
            return self.python.exists() and self.stamp.read_text() == self.wanted
        except OSError:
            return False

    def make(self) -> None:
        """Create the environment and install everything with any installer this machine has."""
        started = time.monotonic()
        say(f"Making the environment in {self.path} (only the first time, and when the packages change)")
        self.stamp.unlink(missing_ok=True)
        if not self.python.exists():
            venv.create(self.path, with_pip=False, clear=True)
        self._install()
        make_readable(self.path)
        self.stamp.write_text(self.wanted)
        say(f"Ready in {time.monotonic() - started:.0f} s")

    def _install(self) -> None:
        ways = {"uv": self._with_uv, "the system's pip": self._with_pip, "ensurepip": self._with_ensurepip}
        problems = []
        for name, install in ways.items():
            problem = install()
            if problem is None:
                return
            last_line = problem.splitlines()[-1].strip()
            say(f"  {name} did not do it ({last_line}); trying another way")
            problems.append(f"--- {name}:\n{problem}")
        raise SetupError(
            "\n".join(problems)
            + "\n---\nno installer worked: see above why. If all is missing, install pip or uv "
            "(apt-get install python3-pip), and see that this machine reaches its package index"
        )

    def _with_uv(self) -> str | None:
        uv = shutil.which("uv") or str(self.path / "uv" / "bin" / "uv")
        if not Path(uv).exists():
            fetch = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(self.path / "uv")]
            if problem := attempt([*fetch, "uv"]):
                return problem
        install = [uv, "pip", "install", "--quiet", "--python", str(self.python), *packages()]
        # Try again with the system's certificates, which a company proxy needs.
        return attempt(install) and attempt(install, UV_SYSTEM_CERTS="1", UV_NATIVE_TLS="1")

    def _with_pip(self) -> str | None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python)]
        return attempt([*pip, "install", "--quiet", *packages()])

    def _with_ensurepip(self) -> str | None:
        problem = attempt([str(self.python), "-m", "ensurepip", "--default-pip"])
        return problem or attempt([str(self.python), "-m", "pip", "install", "--quiet", *packages()])


def environment() -> Environment:
    """Return the environment of this checkout; create it if needed.

    If the checkout is not writable and has no ready environment, use one in the user's cache directory.
    """
    here = Environment(ROOT / ".venv")
    if here.is_ready:
        return here
    if not os.access(here.path if here.path.exists() else ROOT, os.W_OK):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        here = Environment(cache / "aegis" / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12])
    with only_one(here.path):
        if not here.is_ready:
            here.make()
    return here


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Lock the environment: when two commands start at once, the second waits while the first creates it."""
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def packages() -> list[str]:
    return ["--requirement", str(LOCK), "--editable", str(ROOT)]


def attempt(command: Sequence[str], **settings: str) -> str | None:
    """Run an installer; return None when it worked, else its error output."""
    pip = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environ = {**os.environ, **pip, **settings}
    try:
        done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"


def make_readable(path: Path) -> None:
    """Let every account read what root installed: root runs the server and strategies as other accounts."""
    if os.geteuid() != 0:
        return
    for file in [path, *path.rglob("*")]:
        if not file.is_symlink():
            mode = file.stat().st_mode
            file.chmod(mode | 0o444 | (0o111 if file.is_dir() or mode & 0o100 else 0))


def check(env: Environment) -> list[str]:
    """Run all linters and the type checker in parallel; return the names of those that fail."""
    started = {
        name: subprocess.Popen(
            [str(env.path / "bin" / command[0]), *command[1:]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, command in CHECKS.items()
    }
    failed = []
    for name, process in started.items():
        output, _ = process.communicate()
        say(f"{name}: {'ok' if process.returncode == 0 else 'FAILED'}")
        if process.returncode != 0:
            failed.append(name)
            print(output, flush=True)
    return failed


def test(env: Environment, arguments: list[str]) -> int:
    """Run all linters, the type checker and the tests, pytest last."""
    failed = check(env)
    # File by file, in collection order: folders with slow files come first.
    # tests/conftest.py gives all tests of whole trading systems to one process.
    side_by_side = ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "--no-loadscope-reorder"]
    how = [*side_by_side, *QUICK] if arguments == ["--quick"] else arguments or side_by_side
    status = subprocess.run([str(env.python), "-m", "pytest", *how], cwd=ROOT, check=False).returncode
    if failed:
        say(f"not clean: {', '.join(failed)}")
    return status or len(failed)


def become(command: Sequence[str]) -> int:
    """Replace this process by another program, which then gets the signals and the terminal."""
    sys.stdout.flush()
    os.execv(command[0], list(command))


def use_a_newer_python() -> None:
    """If this interpreter is too old, continue with a newer one on this machine."""
    if sys.version_info >= OLDEST:
        return
    for minor in range(20, OLDEST[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            become([newer, __file__, *sys.argv[1:]])
    raise SetupError(f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    name, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if name in ("help", "-h", "--help"):
        print(__doc__)
        return 0
    if name not in ("up", "test", "check", "bench", "aegis", "setup"):
        raise SetupError(f"there is no command {name}; see python3 dev.py --help")
    use_a_newer_python()
    env = environment()
    if name == "test":
        return test(env, rest)
    if name == "check":
        return len(check(env))
    if name == "up":
        return become([str(env.path / "bin" / "aegis"), "up", *rest])
    if name == "aegis":
        return become([str(env.path / "bin" / "aegis"), *rest])
    if name == "bench":
        os.chdir(ROOT)
        return become([str(env.python), "-m", "bench", *rest])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as error:
        sys.exit(f"dev.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
