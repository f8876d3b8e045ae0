"""What a user gets: the built wheel and sdist, and the wheel without any framework beside it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Distributions, build

PACKAGES = {
    "letta_adapters": ROOT / "letta_adapters",
    "langchain_letta": ROOT / "integrations" / "langchain_letta",
    "llama_index_letta": ROOT / "integrations" / "llama_index_letta",
}


LANGCHAIN = ("langchain", "langchain_core", "langgraph")
LLAMA_INDEX = ("llama_index", "workflows", "llama_index_instrumentation")
OTHERS = ("starlette", "uvicorn", "letta_client", "opentelemetry", "openinference")


@pytest.fixture
def wheel(dist: Distributions) -> Path:
    return dist.wheel


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_has_every_file_of_the_three_packages_and_nothing_else(wheel: Path) -> None:
    wanted = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert names_in(wheel) == wanted


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(wheel: Path, package: str) -> None:
    assert f"{package}/py.typed" in names_in(wheel)


def read(wheel: Path, ending: str) -> str:
    """The one file of the wheel whose name ends so."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(ending))
        return archive.read(name).decode()


def metadata_of(wheel: Path) -> Message:
    return Parser().parsestr(read(wheel, ".dist-info/METADATA"))


def test_the_metadata_name_the_extras_and_the_license(wheel: Path) -> None:
    metadata = metadata_of(wheel)

    assert metadata["Name"] == "letta-adapters"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert read(wheel, ".dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert set(metadata.get_all("Provides-Extra", [])) >= {"langchain", "llama-index", "testing", "cli", "all"}
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {line.split(">")[0] for line in required} == {"httpx", "pydantic", "tenacity", "typing-extensions"}


def test_the_metadata_name_the_pythons_that_the_matrix_runs(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    named = [line.rpartition(" ")[2] for line in metadata.get_all("Classifier", []) if ":: Python :: 3." in line]

    assert metadata["Requires-Python"] == f">={named[0]}"
    (matrix,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("PYTHONS :="))
    assert matrix.split()[2:] == named


def test_the_readme_is_shown_by_a_package_index(dist: Distributions) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", str(dist.sdist), str(dist.wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout
    assert metadata_of(dist.wheel)["Description-Content-Type"] == "text/markdown"


def test_the_wheel_installs_the_command(wheel: Path) -> None:
    points = ConfigParser()
    points.read_string(read(wheel, ".dist-info/entry_points.txt"))

    assert {section: dict(points[section]) for section in points.sections()} == {
        "console_scripts": {"letta-adapters": "letta_adapters.cli:main"}
    }


def test_the_wheel_is_the_same_from_the_tree_and_from_the_sdist(dist: Distributions, tmp_path: Path) -> None:
    build("--wheel", "--outdir", str(tmp_path))

    (other,) = tmp_path.iterdir()
    assert (other.name, other.read_bytes()) == (dist.wheel.name, dist.wheel.read_bytes())


def test_the_sdist_has_what_its_tests_need_and_nothing_else(dist: Distributions) -> None:
    with tarfile.open(dist.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert names >= {"pyproject.toml", "tests/test_readme.py", "docs/planner.md", ".github/workflows/test.yml"}
    assert {name.partition("/")[0] for name in names} == {
        *(".ci", ".github", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "PKG-INFO"),
        *("README.md", "benchmarks", "cassettes", "docs", "examples", "integrations", "letta_adapters"),
        *("pyproject.toml", "tests"),
    }


@pytest.mark.parametrize(
    ("statement", "missing", "remedy"),
    [
        ("import langchain_letta", "langchain_core", "pip install 'letta-adapters[langchain]'"),
        ("from langchain_letta import LettaMiddleware", "langchain", "pip install langchain"),
        ("import llama_index_letta", "llama_index", "pip install 'letta-adapters[llama-index]'"),
        ("import letta_adapters.testing", "starlette", "pip install 'letta-adapters[testing]'"),
        ("import letta_adapters.testing", "uvicorn", "pip install 'letta-adapters[testing]'"),
    ],
)
def test_what_needs_an_extra_says_which(wheel: Path, statement: str, missing: str, remedy: str) -> None:
    code = f"""
try:
    {statement}
except ImportError as error:
    print(error.name, error, sep=": ")
"""
    told = run_without({missing}, wheel, code)

    assert told.startswith(f"{missing}: ")
    assert told.endswith(f": {remedy}\n")


def test_the_core_imports_from_the_wheel_where_no_framework_is_installed(wheel: Path) -> None:
    code = """
import letta_adapters
letta_adapters.LettaClient(base_url="http://localhost:8283")
print(letta_adapters.__file__)
"""
    assert run_without({*LANGCHAIN, *LLAMA_INDEX, *OTHERS}, wheel, code).startswith(str(wheel))


def test_the_langchain_extra_needs_no_other(wheel: Path) -> None:
    code = """
import langchain_letta
langchain_letta.ChatLetta(agent_id="agent-1", base_url="http://localhost:8283")
print(langchain_letta.__file__)
"""
    assert run_without({"langchain", "langgraph", *LLAMA_INDEX, *OTHERS}, wheel, code).startswith(str(wheel))


def test_the_llama_index_extra_needs_no_other(wheel: Path) -> None:
    code = """
import llama_index_letta
llama_index_letta.LettaChatEngine.from_defaults(agent_id="agent-1", base_url="http://localhost:8283").close()
print(llama_index_letta.__file__)
"""
    assert run_without({*LANGCHAIN, *OTHERS}, wheel, code).startswith(str(wheel))


def run_without(packages: set[str], wheel: Path, code: str) -> str:
    """What a program prints that has the wheel, and not these packages."""
    preparation = f"""
import sys
from importlib.abc import MetaPathFinder

class Without(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Without())
sys.path.insert(0, {str(wheel)!r})
"""
    program = [sys.executable, "-c", preparation + code]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout
