"""Letta for LangChain: `ChatLetta`, a Letta agent as a chat model."""

from langchain_letta.chat_model import ChatLetta

__all__ = ["ChatLetta"]
