"""What importing one package must not drag in."""

from __future__ import annotations

import subprocess
import sys

import pytest

import letta_adapters

LANGCHAIN = {"langchain", "langchain_core", "langgraph"}
LLAMA_INDEX = {"llama_index"}
OTHERS = {"starlette", "uvicorn", "typer", "letta_client"}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        (
            "from letta_adapters import *",
            LANGCHAIN | LLAMA_INDEX | OTHERS,
        ),  # what it has is loaded on demand
        ("import langchain_letta", {"langchain", "langgraph", "llama_index_letta"} | LLAMA_INDEX | OTHERS),
        ("import llama_index_letta", {"langchain_letta"} | LANGCHAIN | OTHERS),
    ],
)
def test_an_import_loads_no_framework_but_its_own(statement: str, unwanted: set[str]) -> None:
    assert {name.partition(".")[0] for name in _loaded_by(statement)} & unwanted == set()


def test_a_client_comes_without_the_tool_loop() -> None:
    loaded = _loaded_by("from letta_adapters import LettaClient")
    assert "letta_adapters.client" in loaded
    assert "letta_adapters.loop" not in loaded


@pytest.mark.parametrize("module", ["client", "errors", "events", "loop", "wire"])
def test_a_module_is_reached_through_the_package_alone(module: str) -> None:
    assert f"letta_adapters.{module}" in _loaded_by(f"import letta_adapters; letta_adapters.{module}.__all__")


def test_the_package_lists_what_it_has_before_it_is_loaded() -> None:
    assert {*letta_adapters.__all__, "errors", "wire"} <= {*dir(letta_adapters)}


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {*done.stdout.split()}
