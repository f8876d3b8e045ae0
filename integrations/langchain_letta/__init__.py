"""Letta for LangChain: an agent as a chat model, a conversation as a chat history, a middleware for `create_agent`.

`approval_requests` and `approval_result` carry a person's decisions on what the server may run.
"""

from typing import TYPE_CHECKING, Any

from langchain_letta.chat_model import ChatLetta
from langchain_letta.decisions import ApprovalRequest, approval_requests, approval_result
from langchain_letta.history import LettaChatMessageHistory
from langchain_letta.pinning import pin_to_history

if TYPE_CHECKING:
    from langchain_letta.middleware import LettaMiddleware

__all__ = [
    "ApprovalRequest",
    "ChatLetta",
    "LettaChatMessageHistory",
    "LettaMiddleware",
    "approval_requests",
    "approval_result",
    "pin_to_history",
]


def __getattr__(name: str) -> Any:
    # It needs `langchain`; the chat model needs `langchain-core` alone.
    if name == "LettaMiddleware":
        from langchain_letta.middleware import LettaMiddleware

        return LettaMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
