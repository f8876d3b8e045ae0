"""What is built for users, once for all tests that look at it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Distributions:
    """The sdist, and the wheel that was built from it."""

    sdist: Path
    wheel: Path


def build(*arguments: str) -> None:
    """Run `python -m build` on this tree with the backend that is installed here, so without a package index."""
    command = [sys.executable, "-m", "build", "--no-isolation", *arguments, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    folder = tmp_path_factory.mktemp("dist")
    build("--outdir", str(folder))
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(sdist=sdist, wheel=wheel)


def clean_environment(folder: Path, *packages: str) -> Path:
    """Install these packages and what they need, and nothing else, below a folder; gives its Python."""
    python = folder / "env" / "bin" / "python"
    _uv("venv", "--python", sys.executable, str(folder / "env"))
    _uv("pip", "install", "--python", str(python), *packages)
    return python


def _uv(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
