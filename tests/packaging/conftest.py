"""What is built for users, once for all tests that look at it."""

from __future__ import annotations

import subprocess
import sys
import venv
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
    environment = folder / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return python
