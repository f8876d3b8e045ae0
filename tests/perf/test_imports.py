"""What importing one package must not drag in."""

from __future__ import annotations

import subprocess
import sys

import pytest

LANGCHAIN = {"langchain", "langchain_core", "langgraph"}
LLAMA_INDEX = {"llama_index"}
OTHERS = {"starlette", "uvicorn", "typer", "letta_client"}


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("letta_adapters", LANGCHAIN | LLAMA_INDEX | OTHERS),
        ("langchain_letta", {"langchain", "langgraph", "llama_index_letta"} | LLAMA_INDEX | OTHERS),
        ("llama_index_letta", {"langchain_letta"} | LANGCHAIN | OTHERS),
    ],
)
def test_an_import_loads_no_framework_but_its_own(package: str, unwanted: set[str]) -> None:
    code = f"import {package}, sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert {name.partition(".")[0] for name in done.stdout.split()} & unwanted == set()
