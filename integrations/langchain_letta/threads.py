"""Where in a LangGraph program a call is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import BaseRunManager
from langchain_core.runnables.config import ensure_config

from langchain_letta.nodes import metadata_around
from letta_adapters.delivery_steps import Thread

__all__ = ["thread_of"]


def thread_of(run_manager: BaseRunManager | None) -> Thread | None:
    """The LangGraph thread and task that a call belongs to: a step that is run again after a crash is the same task.

    A stream of a plain model comes without a run manager (langchain-core 1.x), but the node's own config is around.
    """
    metadata = run_manager.metadata if run_manager is not None else ensure_config().get("metadata", {})
    return _thread_in(metadata) or _thread_in(metadata_around())


def _thread_in(metadata: Mapping[str, Any]) -> Thread | None:
    thread_id, namespace = metadata.get("thread_id"), metadata.get("langgraph_checkpoint_ns")
    if thread_id is None or namespace is None:
        return None
    step = metadata.get("langgraph_step")
    return Thread(thread_id=str(thread_id), namespace=str(namespace), step=int(step) if isinstance(step, int) else None)
