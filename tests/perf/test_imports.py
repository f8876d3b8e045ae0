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


def test_the_package_alone_loads_nothing() -> None:
    unwanted = {"asyncio", "httpx", "importlib.metadata", "pydantic", "tenacity"}
    assert _loaded_by("import letta_adapters") & unwanted == set()
    assert _own(_loaded_by("import letta_adapters")) == {"letta_adapters"}


def test_a_client_that_is_only_imported_loads_nothing_that_it_is_made_of() -> None:
    loaded = _loaded_by("from letta_adapters import AsyncLettaClient, LettaClient")
    assert _own(loaded) == {"letta_adapters", "letta_adapters.client", "letta_adapters.client.client"}


def test_a_client_for_threads_loads_neither_what_is_for_tasks_nor_what_few_programs_name(url: str) -> None:
    http = "import httpx; httpx.Client().get(URL)"
    turn = """
from letta_adapters import LettaClient
with LettaClient(base_url=URL) as client:
    conversation = client.conversations.create(agent_id="agent-1")
    with client.conversations.messages.create(conversation.id, input="Hello") as turn:
        assert turn.result().text
"""
    loaded = _loaded_by(turn.replace("URL", repr(url))) - _loaded_by(http.replace("URL", repr(url)))
    rare = {f"letta_adapters.wire.{name}" for name in ("compaction", "internal", "model_settings", "updates")}
    tasks = {"asyncio", "letta_adapters.client.async_resources", "letta_adapters.client.loop_clients"}
    assert "letta_adapters.turn" in loaded
    assert loaded & (rare | tasks) == set()
    assert not {name for name in loaded if name.startswith("letta_adapters.loop")}


@pytest.mark.parametrize("package", ["langchain_letta", "llama_index_letta"])
def test_an_integration_loads_no_settings_of_models(package: str) -> None:
    assert "letta_adapters.wire.model_settings" not in _loaded_by(f"import {package}")


@pytest.mark.parametrize("module", ["client", "errors", "events", "loop", "version", "wire"])
def test_a_module_is_reached_through_the_package_alone(module: str) -> None:
    assert f"letta_adapters.{module}" in _loaded_by(f"import letta_adapters; letta_adapters.{module}.__all__")


def test_the_package_lists_what_it_has_before_it_is_loaded() -> None:
    assert {*letta_adapters.__all__, "errors", "wire"} <= {*dir(letta_adapters)}


def _own(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "letta_adapters"}


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {*done.stdout.split()}
