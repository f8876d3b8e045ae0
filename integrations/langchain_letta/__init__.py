"""Letta for LangChain: `ChatLetta`, a Letta agent as a chat model, and `LettaMiddleware` for `create_agent`."""

from typing import TYPE_CHECKING, Any

from langchain_letta.chat_model import ChatLetta

if TYPE_CHECKING:
    from langchain_letta.middleware import LettaMiddleware

__all__ = ["ChatLetta", "LettaMiddleware"]


def __getattr__(name: str) -> Any:
    # It needs `langchain`; the chat model needs `langchain-core` alone.
    if name == "LettaMiddleware":
        from langchain_letta.middleware import LettaMiddleware

        return LettaMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
