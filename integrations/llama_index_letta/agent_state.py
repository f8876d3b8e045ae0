"""What a `LettaAgent` keeps in the context of a workflow: plain JSON, so that another process can go on with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import NAMESPACE_URL, uuid4, uuid5

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.workflow import Context, Workflow
from llama_index_instrumentation.dispatcher import active_instrument_tags
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from letta_adapters.transcript import Anchor
from llama_index_letta.messages import LETTA_KEY, letta_of

if TYPE_CHECKING:
    from workflows.context.state_store import StateStore

__all__ = ["RUN_ID", "AgentState", "HasStore", "afresh", "digests_of", "load", "placed", "save", "was_given_up"]

RUN_ID = "llamaindex.run_id"
"""Under which name LlamaIndex's workflows tell the id of a run."""


class AgentState(BaseModel):
    """Where an agent's conversation stands, and which step of a run is under way.

    Args:
        key: Stands for the context: the ids of messages are made of it, the same ones when a step is run again.
        kept: The last answer of the last run, with results for its calls.
        told: Digests of the messages of a run that was given up.
        unfinished: What came of that run.
        step: The step under way, by what it was given; empty between two runs.
        iteration: Its number in the run.
        given: Digests of the messages that it was given.
        said: The rounds of the run before this step: answers and results.
        begun: The anchor of an answer whose end was not seen.
        answer: The answer of this step.
        results: What the tools gave for its calls.
        settled: An answer that stands for the end of the run, where results were delivered without asking for words.
        direct: Whether that is the run's answer.
        asking: Whether the answer of this step waits for a person's decisions.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    kept: list[ChatMessage] = Field(default_factory=list[ChatMessage])
    told: list[str] = Field(default_factory=list[str])
    unfinished: list[ChatMessage] = Field(default_factory=list[ChatMessage])
    step: str = ""
    iteration: int = 0
    given: list[str] = Field(default_factory=list[str])
    said: list[ChatMessage] = Field(default_factory=list[ChatMessage])
    begun: dict[str, Any] | None = None
    answer: ChatMessage | None = None
    results: list[ChatMessage] = Field(default_factory=list[ChatMessage])
    settled: ChatMessage | None = None
    direct: bool = False
    asking: bool = False

    @classmethod
    def new(cls, name: str) -> Self:
        """The state of an agent that was not asked yet; the same one in every try at a run that has an id."""
        run_id = active_instrument_tags.get().get(RUN_ID)
        return cls(key=str(uuid5(NAMESPACE_URL, json.dumps([run_id, name])) if run_id else uuid4()))

    def begin(self, iteration: int, messages: Sequence[ChatMessage]) -> Self:
        """Begin a step: the next one of the run, the first one of another run, or the same one again."""
        given = digests_of(messages)
        step = f"{iteration}:{_digest(given)}"
        fresh: dict[str, Any] = {"answer": None, "results": [], "settled": None, "direct": False}
        if step == self.step and self.asking:
            return self
        if step == self.step:
            return self.changed(**fresh)
        if self.step and self.answer is not None and iteration > self.iteration:
            return self.changed(step=step, iteration=iteration, given=given, said=self.rounds, **fresh)
        return type(self)(key=self.key, kept=self.kept, step=step, iteration=iteration, given=given, **self._given_up())

    def _given_up(self) -> dict[str, Any]:
        """What is left of a run that did not come to its end."""
        left = self._latest
        if not left:
            return {"told": self.told, "unfinished": self.unfinished}
        # What has only begun may have left nothing at the server; then it goes on where it stood before.
        before = self.unfinished if self._has_only_begun else []
        return {"told": self.given, "unfinished": [*before, *left]}

    def changed(self, **fields: Any) -> Self:
        """The state with other fields."""
        return self.model_copy(update=fields)

    def with_results(self, results: Sequence[ChatMessage]) -> Self:
        """The state with results, the last of several for one call."""
        known = {_call_of(one): one for one in (*self.results, *results)}
        return self.changed(results=list(known.values()))

    def knows(self, call_id: str) -> bool:
        """Whether a call of this step has its result."""
        return any(_call_of(one) == call_id for one in self.results)

    def over(self) -> Self:
        """The state after the run."""
        return type(self)(key=self.key, kept=self._latest or self.kept)

    @property
    def rounds(self) -> list[ChatMessage]:
        """The run so far: answers and results."""
        return [*self.said, *([self.answer] if self.answer is not None else []), *self.results]

    @property
    def standing(self) -> list[ChatMessage]:
        """Where the conversation stands: the last answer and what its calls gave, before it what it may rest on."""
        latest = self._latest
        return latest if latest and not self._has_only_begun else [*self.kept, *self.unfinished, *latest]

    @property
    def _has_only_begun(self) -> bool:
        return self.begun is not None and self.answer is None and not self.said

    @property
    def _latest(self) -> list[ChatMessage]:
        """What this run has come to."""
        if self.settled is not None:
            return [_light(self.settled)]
        rounds = self.rounds
        last = max((number for number, one in enumerate(rounds) if letta_of(one)), default=len(rounds))
        begun = [placed(Anchor.model_validate(self.begun))] if self.begun is not None and self.answer is None else []
        return [*(_light(one) for one in rounds[last:]), *begun]


def placed(anchor: Anchor, text: str = "", **beside: Any) -> ChatMessage:
    """A message of the agent that says where the conversation stands."""
    return ChatMessage(
        role=MessageRole.ASSISTANT,
        content=text or None,
        additional_kwargs={LETTA_KEY: {**anchor.to_metadata(), **beside}},
    )


def digests_of(messages: Sequence[ChatMessage]) -> list[str]:
    """What messages are known by, instructions aside."""
    return [
        _digest(one.model_dump(mode="json", include={"role", "blocks"}))
        for one in messages
        if one.role not in (MessageRole.SYSTEM, MessageRole.DEVELOPER)
    ]


class HasStore(Protocol):
    """The context of a workflow, as far as it is needed here."""

    @property
    def store(self) -> StateStore[Any]:
        """What is kept in it."""
        ...


async def load(ctx: HasStore, name: str) -> AgentState:
    """What an agent keeps in a context; of its own making, where it is there for the first time."""
    kept = await ctx.store.get(_path(name), default=None)
    return AgentState.model_validate(kept) if kept is not None else AgentState.new(name)


async def save(ctx: HasStore, name: str, state: AgentState) -> AgentState:
    """Keep the state of an agent in a context."""
    await ctx.store.set(_path(name), state.model_dump(mode="json"))
    return state


def was_given_up(ctx: Context[Any]) -> bool:
    """Whether a context is of a run that is over and has steps left to do: it was cancelled, or ran out of time."""
    if ctx.is_running:
        return False
    saved = ctx.to_dict(include_state=False)
    return bool(saved["is_running"]) or any(one["queue"] or one["in_progress"] for one in saved["workers"].values())


def afresh(workflow: Workflow, ctx: Context[Any]) -> Context[Any]:
    """A context that knows what another one knows, without its steps."""
    saved = ctx.to_dict()
    return Context.from_dict(workflow, {name: saved[name] for name in ("version", "state")})


def _path(name: str) -> str:
    return "letta:" + name.replace("%", "%25").replace(".", "%2E")  # a dot would be a step into a dictionary


def _call_of(message: ChatMessage) -> str:
    return str(message.additional_kwargs.get("tool_call_id"))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _light(message: ChatMessage) -> ChatMessage:
    """The message without what nobody reads who goes on with the conversation."""
    letta = letta_of(message)
    if letta is None or "parts" not in letta:
        return message
    short = {name: value for name, value in letta.items() if name != "parts"}
    return message.model_copy(update={"additional_kwargs": {**message.additional_kwargs, LETTA_KEY: short}})
