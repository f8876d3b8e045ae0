"""A model that answers in the conversation of the history that LangChain reads and writes around it."""

from __future__ import annotations

from typing import Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langchain_letta.history import LettaChatMessageHistory

__all__ = ["pin_to_history"]

Model = Runnable[LanguageModelInput, AIMessage]


def pin_to_history(model: Model) -> Model:
    """Pin a `ChatLetta`, with tools bound or not, to the history of the `RunnableWithMessageHistory` that it runs in.

    Without it the model starts a conversation of its own for a history that is empty.

    Raises:
        ValueError: On a call, when there is no `LettaChatMessageHistory` around.

    Example:
        ```python
        chat = RunnableWithMessageHistory(
            pin_to_history(ChatLetta()), lambda session_id: LettaChatMessageHistory(session_id=session_id)
        )
        chat.invoke("Hello", {"configurable": {"session_id": "ann"}})
        ```
    """

    def pinned(_: Any, config: RunnableConfig) -> Model:
        place = _history_of(config).open()
        return model.bind(conversation_id=place.conversation_id, agent_id=place.agent_id)

    async def apinned(_: Any, config: RunnableConfig) -> Model:
        place = await _history_of(config).aopen()
        return model.bind(conversation_id=place.conversation_id, agent_id=place.agent_id)

    # A runnable that gives a runnable is replaced by that one's output.
    return cast("Model", RunnableLambda(pinned, apinned, name="pin_to_history"))


def _history_of(config: RunnableConfig) -> LettaChatMessageHistory:
    history = config.get("configurable", {}).get("message_history")
    if not isinstance(history, LettaChatMessageHistory):
        raise ValueError(
            "`pin_to_history` needs a LettaChatMessageHistory: run it inside of a RunnableWithMessageHistory."
        )
    return history
