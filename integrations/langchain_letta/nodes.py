"""In which node of a LangGraph program a call is made, where LangGraph cannot say it: in asyncio before Python 3.11.

There a task takes no context, so the config of a node, with its thread, does not get to a model that is called without
it, and an agent of LangChain's calls its model so. But LangChain tells a callback handler when a node begins and ends.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from langchain_core.callbacks import BaseCallbackHandler
from typing_extensions import override

from letta_adapters.delivery_steps import path_of

__all__ = ["metadata_around"]


_THREAD = "thread_id"
_NAMESPACE = "langgraph_checkpoint_ns"


class _Node:
    """A node that runs, in the contexts of the calls that are made in it."""

    def __init__(self, metadata: Mapping[str, Any], outer: _Node | None) -> None:
        self.metadata = metadata
        self.outer = outer
        self.is_over = False


_AROUND: ContextVar[_Node | None] = ContextVar("langchain_letta_node", default=None)


class _Nodes(BaseCallbackHandler):
    """Notes which node runs, and marks it when it is over.

    A context cannot be put back: a node often runs in the task of whoever called the graph, and its end is told in
    another task. So what the context holds says itself whether it still counts.
    """

    run_inline = True  # in the node's own context, not in a thread

    def __init__(self) -> None:
        self._running: WeakValueDictionary[UUID, _Node] = WeakValueDictionary()

    @property
    @override
    def ignore_llm(self) -> bool:
        return True

    @property
    @override
    def ignore_chat_model(self) -> bool:
        return True

    @override
    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, metadata: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        outer = _innermost()
        if metadata and _NAMESPACE in metadata and not _is_part_of(outer, metadata):
            self._running[run_id] = node = _Node(_with_thread(metadata, outer), outer)
            _AROUND.set(node)

    @override
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id)

    @override
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id)

    def _end(self, run_id: UUID) -> None:
        if node := self._running.pop(run_id, None):
            node.is_over = True


def _is_part_of(outer: _Node | None, metadata: Mapping[str, Any]) -> bool:
    """Whether something that runs is no node, but has the config of the one around it; it may outlive that one."""
    return outer is not None and all(outer.metadata.get(name) == metadata.get(name) for name in (_THREAD, _NAMESPACE))


def _with_thread(metadata: Mapping[str, Any], outer: _Node | None) -> Mapping[str, Any]:
    """A node of a graph that was called in another one's node, without a config, belongs to the thread of that one."""
    if outer is None or metadata.get(_THREAD) is not None:
        return metadata
    return {**outer.metadata, _NAMESPACE: f"{outer.metadata[_NAMESPACE]}|{path_of(metadata[_NAMESPACE])}"}


def metadata_around() -> Mapping[str, Any]:
    """What LangGraph says of the node that a call is made in; nothing outside of nodes and from Python 3.11 on."""
    node = _innermost()
    return node.metadata if node is not None else {}


def _innermost() -> _Node | None:
    node = _AROUND.get()
    while node is not None and node.is_over:
        node = node.outer
    return node


_NODES = _Nodes()

if sys.version_info < (3, 11):
    from langchain_core.tracers.context import register_configure_hook  # half of LangSmith: only where it is needed

    register_configure_hook(ContextVar("langchain_letta_nodes", default=_NODES), inheritable=True)
