"""The memory of a workflow while a run is under way: what a `Context` that is saved in the middle goes on with."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory
from pydantic import Field, PrivateAttr
from typing_extensions import Self, override

__all__ = ["CarriedMemory"]


class CarriedMemory(BaseMemory):
    """A memory whose messages are saved with the context.

    LlamaIndex leaves its memory out when a `Context` is saved, and a step of a run that is resumed cannot do without.
    So while a run is under way the messages are kept beside the memory that the workflow has, in plain JSON.
    """

    messages: list[ChatMessage] = Field(default_factory=list[ChatMessage])
    _inner: BaseMemory | None = PrivateAttr(default=None)

    @classmethod
    async def around(cls, memory: BaseMemory) -> CarriedMemory:
        """A memory that is saved, and is the given one as long as it is not."""
        if isinstance(memory, CarriedMemory):
            return memory
        carried = cls(messages=await memory.aget_all())
        carried._inner = memory
        return carried

    @property
    def inner(self) -> BaseMemory | None:
        """The memory that the workflow had; none after the context was saved."""
        return self._inner

    @classmethod
    @override
    def class_name(cls) -> str:
        """Its name where LlamaIndex writes components down."""
        return "LettaCarriedMemory"

    @override
    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """The messages, as JSON."""
        return {"messages": [message.model_dump(mode="json") for message in self.messages]}

    @classmethod
    @override
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """The memory that has these messages."""
        return cls(messages=[ChatMessage.model_validate(message) for message in data["messages"]])

    @classmethod
    @override
    def from_defaults(cls, **kwargs: Any) -> CarriedMemory:
        """An empty one."""
        return cls()

    @override
    def get(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:
        """What a step is given."""
        return self._inner.get(input=input, **kwargs) if self._inner is not None else list(self.messages)

    @override
    async def aget(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:
        """What a step is given."""
        return await self._inner.aget(input=input, **kwargs) if self._inner is not None else list(self.messages)

    @override
    def get_all(self) -> list[ChatMessage]:
        """All messages."""
        return self._inner.get_all() if self._inner is not None else list(self.messages)

    @override
    async def aget_all(self) -> list[ChatMessage]:
        """All messages."""
        return await self._inner.aget_all() if self._inner is not None else list(self.messages)

    @override
    def put(self, message: ChatMessage) -> None:
        """Add a message."""
        self.messages.append(message)
        if self._inner is not None:
            self._inner.put(message)

    @override
    async def aput(self, message: ChatMessage) -> None:
        """Add a message."""
        await self.aput_messages([message])

    @override
    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Add messages."""
        self.messages.extend(messages)
        if self._inner is not None:
            await self._inner.aput_messages(messages)

    @override
    def set(self, messages: list[ChatMessage]) -> None:
        """Replace all messages."""
        self.messages = list(messages)
        if self._inner is not None:
            self._inner.set(messages)

    @override
    async def aset(self, messages: list[ChatMessage]) -> None:
        """Replace all messages."""
        self.messages = list(messages)
        if self._inner is not None:
            await self._inner.aset(messages)

    @override
    def reset(self) -> None:
        """Forget all messages."""
        self.messages = []
        if self._inner is not None:
            self._inner.reset()

    @override
    async def areset(self) -> None:
        """Forget all messages."""
        self.messages = []
        if self._inner is not None:
            await self._inner.areset()
