"""What imports what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import letta_adapters

ROOT = Path(letta_adapters.__file__).parent
CORE = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in ("testing", "cli")]
FRAMEWORKS = {"langchain", "langchain_core", "langgraph", "llama_index", "langchain_letta", "llama_index_letta"}

ORDER = (
    ("errors", "version", "retry", "locks", "wire", "redaction", "near_names"),
    (
        "exchange",
        "sse",
        "assembly",
        "disassembly",
        "composing",
        "transcript",
        "identity",
        "matching",
        "pending",
        "memory",
    ),
    ("under_way", "steps", "connections", "joins", "waiting"),
    ("alignment", "plans"),
    ("anchoring",),
    ("reading", "policies", "tail", "stored_turns"),
    ("run_stream", "turn_requests", "system_text"),
    ("planner", "turn"),
    ("driver",),
    ("thread_driver", "task_driver"),
    ("client",),
    ("delivery_steps", "tools"),
    ("job",),
    ("creation", "looking", "sending"),
    ("delivery", "loop"),
    ("carriers", "compacting"),
)
LAYERS = {name: layer for layer, names in enumerate(ORDER) for name in names}
"""Arrows point to a lower layer, or stay inside a package; a module that is not listed is not restricted."""


def _imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _layer(module: str) -> str:
    return module.split(".")[1] if module.startswith("letta_adapters.") else ""


@pytest.mark.parametrize("path", CORE, ids=_id)
def test_only_the_client_imports_httpx(path: Path) -> None:
    tops = {name.split(".")[0] for name in _imported(path)}
    assert not tops & {"httpx", "httpcore", "requests", "aiohttp", "urllib3"} or path.parent.name == "client"


@pytest.mark.parametrize("path", CORE, ids=_id)
def test_the_core_imports_no_framework(path: Path) -> None:
    tops = {name.split(".")[0] for name in _imported(path)}
    assert not tops & (FRAMEWORKS | {"starlette", "uvicorn", "typer", "rich"})


@pytest.mark.parametrize("path", CORE, ids=_id)
def test_nothing_needs_the_command_line(path: Path) -> None:
    assert not {name for name in _imported(path) if f"{name}.".startswith("letta_adapters.cli.")}


@pytest.mark.parametrize("path", CORE, ids=_id)
def test_no_arrow_turns_back(path: Path) -> None:
    relative = path.relative_to(ROOT)
    own = relative.parts[0].removesuffix(".py")
    if own not in LAYERS:
        return
    others = {_layer(name) for name in _imported(path)} & LAYERS.keys() - {own}
    assert {other for other in others if LAYERS[other] > LAYERS[own]} == set()


def test_the_turn_does_no_io() -> None:
    for name in ("turn", "turn_requests", "reading", "matching", "run_stream", "assembly", "sse", "retry", "exchange"):
        tops = {module.split(".")[0] for module in _imported(ROOT / f"{name}.py")}
        assert not tops & {"asyncio", "threading", "time", "socket", "ssl"}, name


def _loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_core_loads_no_framework() -> None:
    unwanted = FRAMEWORKS | {"starlette", "uvicorn", "typer", "letta_client", "numpy"}  # httpx itself loads rich
    assert _loaded_after("import letta_adapters") & unwanted == set()


def test_everything_that_is_exported_is_there() -> None:
    for path in CORE:
        dotted = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        module = __import__(dotted, fromlist=["__all__"])
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{dotted}.{name}"
