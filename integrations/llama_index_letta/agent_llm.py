"""What LlamaIndex's workflows ask of an agent's language model, asked of the Letta agent itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, NoReturn, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ChatResponseAsyncGen, LLMMetadata, MessageRole
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.workflow import Context
from pydantic import BaseModel, PrivateAttr
from typing_extensions import override
from workflows.errors import WorkflowRuntimeError

from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import ReasoningDelta, TextDelta, TurnEvent
from llama_index_letta.agent_aside import aside, object_of
from llama_index_letta.agent_holds import let_go
from llama_index_letta.agent_state import AgentState, load, save
from llama_index_letta.agent_turns import Speaker, instructions_of
from llama_index_letta.token_data import logprobs_of

__all__ = ["AgentLLM"]

M = TypeVar("M", bound=BaseModel)

_CONTEXT_WINDOW = 1_000_000
"""LlamaIndex cuts its own memory to fit; what the model sees is the server's matter."""


class AgentLLM(LLM):
    """The language model of a `LettaAgent`, as a workflow uses it beside the agent's steps.

    A workflow that ran out of iterations asks it for the last words: they are said in the agent's conversation. For an
    object of a class it is asked in a copy of the conversation, which is deleted afterwards. Any other question is
    asked in a conversation of its own, which is deleted as well.
    """

    _speaker: Callable[[], Speaker] | None = PrivateAttr(default=None)

    def speak_for(self, speaker: Callable[[], Speaker]) -> None:
        """Say which agent it belongs to."""
        self._speaker = speaker

    @classmethod
    @override
    def class_name(cls) -> str:
        """Its name where LlamaIndex writes components down."""
        return "LettaAgentLLM"

    @property
    @override
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex wants to know of a model."""
        return LLMMetadata(context_window=_CONTEXT_WINDOW, is_chat_model=True, model_name="letta")

    @override
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Ask the agent and wait for the answer."""
        last = ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT))
        async with aclosing(self._asked(messages)) as answers:
            async for answer in answers:
                last = answer
        return last

    @override
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Ask the agent and stream the answer."""
        return self._asked(messages)

    @override
    async def astructured_predict(
        self,
        output_cls: type[M],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> M:
        """Ask the agent for an object of a class.

        Raises:
            ValueError: It gave none, asked twice.
            LettaError: A turn failed.
        """
        speaker, ctx = self._who(), _step()
        anchor = speaker.anchor_in((await load(ctx, speaker.name)).standing) if ctx is not None else None
        async with aside(speaker, anchor) as there:
            return await object_of(output_cls, there, prompt.format_messages(**prompt_args))

    async def _asked(self, messages: Sequence[ChatMessage]) -> AsyncGenerator[ChatResponse, None]:
        speaker, ctx = self._who(), _step()
        # Nobody but a workflow that has to come to an end ends a dialogue with instructions.
        if ctx is not None and messages and messages[-1].role is MessageRole.SYSTEM:
            answers = _last_words(speaker, ctx, messages)
        else:
            answers = _one_answer(speaker, messages)
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    def _who(self) -> Speaker:
        if self._speaker is None:
            raise RuntimeError("This language model is one of a LettaAgent; it says nothing without it.")
        return self._speaker()

    # What has no place in a conversation.

    @override
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> NoReturn:
        """Not offered: an agent's workflow is asynchronous."""
        raise _not_offered()

    @override
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> NoReturn:
        """Not offered: an agent's workflow is asynchronous."""
        raise _not_offered()

    @override
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> NoReturn:
        """Not offered: an agent is talked to."""
        raise _not_offered()

    @override
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> NoReturn:
        """Not offered: an agent is talked to."""
        raise _not_offered()

    @override
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> NoReturn:
        """Not offered: an agent is talked to."""
        raise _not_offered()

    @override
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> NoReturn:
        """Not offered: an agent is talked to."""
        raise _not_offered()


def _not_offered() -> NotImplementedError:
    return NotImplementedError("The model of a LettaAgent has `achat` and `astream_chat`; use LettaChatEngine to chat.")


def _step() -> Context[Any] | None:
    """The context of the workflow's step that is running here, if there is one."""
    try:
        return Context.get_step_context()
    except WorkflowRuntimeError:
        return None


async def _last_words(
    speaker: Speaker, ctx: Context[Any], messages: Sequence[ChatMessage]
) -> AsyncGenerator[ChatResponse, None]:
    """What the agent says at the end of a run that must not go on: calls that wait are denied with the question."""
    state = await load(ctx, speaker.name)
    asked = ChatMessage(role=MessageRole.USER, content=messages[-1].content)
    dialogue = [*instructions_of(messages[:-1]), *state.standing, asked]
    anchor = speaker.anchor_in(state.standing)
    heard = anchor.system_hash if anchor else None
    async with aclosing(_answered(speaker, dialogue, state.key, heard)) as answers:
        async for answer in answers:
            if answer.delta is None:
                await save(ctx, speaker.name, AgentState(key=state.key, kept=[answer.message]))
                let_go(state.key)
            yield answer


async def _one_answer(speaker: Speaker, messages: Sequence[ChatMessage]) -> AsyncGenerator[ChatResponse, None]:
    async with aside(speaker, None) as there, aclosing(_answered(there.speaker, messages, "once", None)) as answers:
        async for answer in answers:
            yield answer


async def _answered(
    speaker: Speaker, dialogue: Sequence[ChatMessage], key: str, heard: str | None
) -> AsyncGenerator[ChatResponse, None]:
    """The answer bit by bit, last the whole message, which has no `delta`."""
    text = ""
    async with aclosing(speaker.deliver(dialogue, key)) as events:
        async for event in events:
            if isinstance(event, Delivered):
                answer, logprobs = speaker.answer(event, frozenset(), heard), logprobs_of(event.turn)
                yield ChatResponse(message=answer, raw=event.turn, logprobs=logprobs)
                return
            text += event.text if isinstance(event, TextDelta) else ""
            yield _response(event, text)


def _response(event: TurnEvent, text: str) -> ChatResponse:
    thinking = {"thinking_delta": event.text} if isinstance(event, ReasoningDelta) else {}
    return ChatResponse(
        message=ChatMessage(role=MessageRole.ASSISTANT, content=text),
        delta=event.text if isinstance(event, TextDelta) else "",
        raw=event,
        additional_kwargs=thinking,
    )
