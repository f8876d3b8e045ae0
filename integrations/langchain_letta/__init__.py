"""Letta for LangChain: an agent as a chat model, a conversation as a chat history, a middleware for `create_agent`.

`approval_requests` and `approval_result` carry a person's decisions on what the server may run; `langchain_from_letta`
and `letta_from_langchain` translate messages as a server stores them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    import_module("langchain_core")
except ModuleNotFoundError as error:
    text = "langchain_letta needs langchain-core: pip install 'letta-adapters[langchain]'"
    raise ModuleNotFoundError(text, name=error.name) from error

from langchain_letta.chat_model import ChatLetta
from langchain_letta.decisions import ApprovalRequest, approval_requests, approval_result
from langchain_letta.history import LettaChatMessageHistory
from langchain_letta.langchain_to_stored import letta_from_langchain
from langchain_letta.pinning import pin_to_history
from langchain_letta.stored_to_langchain import langchain_from_letta

if TYPE_CHECKING:
    from langchain_letta.middleware import LettaMiddleware

__all__ = [
    "ApprovalRequest",
    "ChatLetta",
    "LettaChatMessageHistory",
    "LettaMiddleware",
    "approval_requests",
    "approval_result",
    "langchain_from_letta",
    "letta_from_langchain",
    "pin_to_history",
]


def __getattr__(name: str) -> Any:
    # It needs `langchain`; the chat model needs `langchain-core` alone.
    if name == "LettaMiddleware":
        try:
            import_module("langchain")
        except ModuleNotFoundError as error:
            text = "LettaMiddleware needs langchain, which no extra installs: pip install langchain"
            raise ModuleNotFoundError(text, name=error.name) from error
        from langchain_letta.middleware import LettaMiddleware

        return LettaMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
