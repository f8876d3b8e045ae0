"""What a user gets: the built wheel and sdist, and the wheel without any framework beside it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "letta_adapters": ROOT / "letta_adapters",
    "langchain_letta": ROOT / "integrations" / "langchain_letta",
    "llama_index_letta": ROOT / "integrations" / "llama_index_letta",
}


LANGCHAIN = ("langchain", "langchain_core", "langgraph")
LLAMA_INDEX = ("llama_index", "workflows", "llama_index_instrumentation")
OTHERS = ("starlette", "uvicorn", "letta_client", "opentelemetry", "openinference")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return Path(next(iter(built)))


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


def test_the_metadata_name_the_extras_and_the_license(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
        licenses = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]

    assert metadata["Name"] == "letta-adapters"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert len(licenses) == 1
    assert set(metadata.get_all("Provides-Extra", [])) >= {"langchain", "llama-index", "testing", "cli", "all"}
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {line.split(">")[0] for line in required} == {"httpx", "pydantic", "tenacity", "typing-extensions"}


def test_the_sdist_can_be_built_and_tested(tmp_path: Path) -> None:
    built = Path(next(iter(SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))))
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert names >= {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "tests/test_readme.py"}
    assert {name for name in names if name.startswith((".venv", ".server", "dist/"))} == set()


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
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Without())
sys.path.insert(0, {str(wheel)!r})
"""
    program = [sys.executable, "-c", preparation + code]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout
