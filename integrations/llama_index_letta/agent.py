"""`LettaAgent`: a Letta agent in LlamaIndex's agent workflows."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, cast

from llama_index.core.agent.workflow import AgentInput, AgentOutput, ToolCallResult
from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
from llama_index.core.agent.workflow.workflow_events import AgentWorkflowStartEvent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool, BaseTool, ToolOutput
from llama_index.core.workflow import Context
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator
from typing_extensions import Self, override
from workflows.handler import WorkflowHandler

from letta_adapters.anchoring import Target
from letta_adapters.client import AsyncLettaClient
from letta_adapters.client.endpoints import check_agent_id, check_conversation_id
from letta_adapters.client.settings import Settings
from letta_adapters.delivery_steps import Delivered, TurnOptions
from letta_adapters.errors import LettaError
from letta_adapters.events import TurnStarted
from letta_adapters.pending import OnPendingApproval
from letta_adapters.policies import OnDivergence, Policies, SystemPolicy
from letta_adapters.steps import OnAbandon
from letta_adapters.transcript import Anchor
from letta_adapters.wire import ClientSkill, MessageType
from llama_index_letta.agent_answers import AUTHOR, AnswerStream, check_calls, result_message, selections
from llama_index_letta.agent_llm import AgentLLM
from llama_index_letta.agent_memory import CarriedMemory
from llama_index_letta.agent_state import AgentState, HasStore, load, placed, save
from llama_index_letta.agent_tools import CheckedTool, Offered
from llama_index_letta.agent_turns import Speaker
from llama_index_letta.messages import letta_of
from llama_index_letta.tools import as_llama_tools

if TYPE_CHECKING:
    from llama_index.core.agent.workflow.agent_context import AgentContext

__all__ = ["LettaAgent"]

_LOG = logging.getLogger("llama_index_letta")


def _from_env(name: str) -> Callable[[], str | None]:
    return lambda: os.environ.get(name) or None


def _secret_from_env(name: str) -> Callable[[], SecretStr | None]:
    return lambda: SecretStr(os.environ[name]) if os.environ.get(name) else None


class LettaAgent(BaseWorkflowAgent):
    """A Letta agent as an agent of LlamaIndex's workflows: `agent.run(...)`, or one of several in an `AgentWorkflow`.

    The workflow runs the tools, each once; the conversation is at the server, so nothing has to be remembered here. A
    workflow passes all messages that it has in every step: what the conversation knows is left out, and the rest is
    sent, once, also when a step is run again after a crash.

    Which conversation:

    * by default each `Context` has its own. Runs without one begin a conversation each; `agent.run(..., ctx=ctx)` goes
      on with it, in another process too (`Context.from_dict(agent, ctx.to_dict())`).
    * `conversation_id` is for all runs: a new `Context` goes on there, too.

    `max_iterations`, `early_stopping_method`, `output_cls`, `initial_state`, tools that take a `Context` and the other
    arguments of LlamaIndex's agents work as they do there; `timeout` is the workflow's. `llm` is not needed: what a
    workflow asks a language model for, an object of `output_cls` or last words, the agent is asked for.

    Raises:
        ValueError: At construction, when neither an agent nor a conversation is given, an id is malformed, or a tool
            cannot be offered; in a run, when a block is of a kind that Letta does not take.
        LettaError: In a run; the tree is in `letta_adapters.errors`.

    Example:
        ```python
        from llama_index_letta import LettaAgent

        agent = LettaAgent(agent_id="agent-…", base_url="http://localhost:8283", tools=[weigh])
        print(await agent.run("How heavy is parcel A-17?"))
        ```
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", use_attribute_docstrings=True)

    agent_id: str | None = Field(default_factory=_from_env("LETTA_AGENT_ID"))
    """The agent; needed without `conversation_id` and for `conversation_id="default"`. Else `LETTA_AGENT_ID`."""

    conversation_id: str | None = None
    """The conversation of all runs."""

    base_url: str | None = Field(default_factory=_from_env("LETTA_BASE_URL"))
    """The server; else `LETTA_BASE_URL`, else Letta Cloud."""

    api_key: SecretStr | None = Field(default_factory=_secret_from_env("LETTA_API_KEY"), exclude=True)
    """The bearer key; else `LETTA_API_KEY`. A self-hosted server may need none."""

    idle_timeout: float = Field(default=90.0, gt=0)
    """Seconds without any byte after which a connection counts as lost; `timeout` is the workflow's own."""

    max_retries: int = Field(default=5, ge=0)
    """Failures in a row after which a turn is given up. Trying again never sends a turn twice."""

    busy_timeout: float = Field(default=60.0, ge=0)
    """Seconds to wait for another turn of the same conversation."""

    background: bool | None = None
    """Stream in the background: `None` tries and falls back; `False` never does, and a lost turn cannot be resumed."""

    system_messages: SystemPolicy = "once"
    """What becomes of `system_prompt`: told `once`, when new or changed; sent as `override` of the agent's own prompt
    every time, which hides its memory blocks; or `ignore`d."""

    on_divergence: OnDivergence = "append"
    """What becomes of a run whose conversation went another way than its `Context` or memory knows.

    `append`: it goes on in the same one, after what is there; `fork`: in a new one that is told what the workflow
    still has (not with `conversation_id`); `error`: it raises `Divergence`.
    """

    on_pending_approval: OnPendingApproval = "deny"
    """What becomes of calls that the conversation waits for and nobody here knows of.

    `deny`: those of tools that are offered are denied together with the new message; `deny_all`: those of other client
    tools, too; `error`: none. Whatever is not denied raises `PendingApprovalError`.
    """

    on_abandon: OnAbandon = "finish"
    """What becomes of a turn when a run is cancelled: it goes on at the server (`finish`), or is cancelled there."""

    anchor_key: SecretStr | None = Field(default_factory=_secret_from_env("LETTA_ANCHOR_KEY"), exclude=True)
    """Signs what says where a conversation stands, and trusts nothing else; else `LETTA_ANCHOR_KEY`.

    For messages that come back from where people can change them.
    """

    max_steps: int | None = None
    """Steps that the server runs by itself in a turn, at most."""

    override_model: str | None = None
    """The handle of another model than the agent's own."""

    override_system: str | None = None
    """Another system prompt than the agent's own; it hides the memory blocks."""

    include_return_message_types: tuple[MessageType, ...] | None = None
    """Messages of these types only; without `approval_request_message` tool calls go unseen."""

    client_skills: tuple[ClientSkill, ...] = ()
    """Skills of the caller's environment, shown to the agent."""

    async_client: AsyncLettaClient | None = Field(default=None, exclude=True)
    """A client of your own instead of the six arguments that say how to call the server; never closed here."""

    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """An `httpx.AsyncClient` of your own."""

    _client: AsyncLettaClient | None = PrivateAttr(default=None)

    def __init__(self, **fields: Any) -> None:
        llm = fields.pop("llm", None)
        if fields.get("conversation_id") not in (None, "default"):  # it may be of another agent than the environment's
            fields.setdefault("agent_id", None)
        own = AgentLLM()
        cast("Any", super()).__init__(llm=llm or own, **fields)
        own.speak_for(self._speaker)
        self._check()

    def __dir__(self) -> list[str]:
        # A workflow looks for its steps at whatever is listed here, and pydantic warns of being looked at.
        return [name for name in super().__dir__() if name not in _NOT_LOOKED_AT]

    def _check(self) -> None:
        if self.agent_id is None and self.conversation_id is None:
            raise ValueError(
                "Pass `agent_id` (or set LETTA_AGENT_ID) to start conversations with an agent, "
                "or `conversation_id` to go on with one."
            )
        if self.agent_id is not None:
            check_agent_id(self.agent_id)
        if self.conversation_id is not None:
            check_conversation_id(self.conversation_id, self.agent_id)
        self._policies().check(pinned=self.conversation_id is not None)
        if self.anchor_key is not None and not self.anchor_key.get_secret_value():
            raise ValueError("`anchor_key` is empty: it would sign nothing. Leave it out, or pass a secret.")
        if self.async_client is None:
            Settings.resolve(self.base_url, self.api_key)

    @field_validator("tools", mode="before")
    @classmethod
    def validate_tools(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, v: Sequence[BaseTool | Callable[..., Any]] | None
    ) -> list[BaseTool] | None:
        """Make tools out of functions and check their names."""
        tools = as_llama_tools(v) if v is not None else None
        if any(tool.metadata.name == "handoff" for tool in tools or ()):
            raise ValueError("A tool cannot be named 'handoff': that is the workflow's own.")
        return tools

    @override
    def run(self, *args: Any, **kwargs: Any) -> WorkflowHandler:
        """Run the agent: `run("Hello")`, `run(user_msg=..., ctx=..., memory=..., max_iterations=...)`.

        With the `Context` of a run that was cancelled or ran out of time a new message begins a new run, and what was
        under way is given up. Without a message a cancelled run goes on, as one does that was saved in the middle.
        """
        ctx: Context[Any] | None = kwargs.get("ctx")
        if ctx is not None and _was_given_up(ctx):
            says_something = args or kwargs.keys() & {"user_msg", "chat_history", "start_event"}
            kwargs["ctx"] = _afresh(self, ctx) if says_something else Context.from_dict(self, ctx.to_dict())
        return cast("Any", super()).run(*args, **kwargs)

    @override
    async def _init_context(self, ctx: Context[Any], ev: AgentWorkflowStartEvent) -> None:
        """Prepare the context of a run. It begins without memories of others, unless there is a memory for that."""
        given = ev.get("memory", default=None)
        left = await ctx.store.get(_MEMORY, default=None)
        if given is not None or left is None or isinstance(left, CarriedMemory):
            await ctx.store.set(_MEMORY, given if given is not None else CarriedMemory())
        await super()._init_context(ctx, ev)

    # The steps of a workflow.

    @override
    async def take_step(
        self, ctx: AgentContext, llm_input: list[ChatMessage], tools: Sequence[AsyncBaseTool], memory: BaseMemory
    ) -> AgentOutput:
        """Send what is new and stream the answer."""
        speaker, offered = self._speaker(), Offered.of(tools)
        iteration: int = await ctx.store.get("num_iterations", default=0)
        state = await save(ctx, self.name, (await load(ctx, self.name)).begin(iteration, llm_input))
        await ctx.store.set(_MEMORY, await CarriedMemory.around(memory))
        ctx.write_event_to_stream(AgentInput(input=[*llm_input, *state.said], current_agent_name=self.name))
        delivered = await self._delivered(ctx, speaker, speaker.dialogue(state, llm_input), offered)
        answer = speaker.answer(delivered, frozenset(offered.names))
        calls, refused = selections(delivered.turn.pending, offered)
        state = await save(ctx, self.name, state.changed(answer=answer, results=refused, begun=None))
        check_calls(delivered.turn, offered)
        if delivered.turn.pending and await self._is_the_last_step(ctx, iteration):
            await self._settle(ctx, speaker, state)
        return AgentOutput(
            response=answer,
            tool_calls=calls,
            raw=delivered.turn,
            current_agent_name=self.name,
            # A workflow asks again where there is something to retry; what is told then are the results of the calls.
            retry_messages=refused if refused and not calls else [],
        )

    @override
    async def handle_tool_call_results(
        self, ctx: Context[Any], results: list[ToolCallResult], memory: BaseMemory
    ) -> None:
        """Keep results for the next step; where there will be none, deliver them now, asking for no answer."""
        state = await load(ctx, self.name)
        state = await save(ctx, self.name, state.with_results([result_message(one) for one in results]))
        last = next((one for one in results if one.return_direct and not one.tool_output.is_error), None)
        if last is not None and last.tool_name != "handoff":
            await self._settle(ctx, self._speaker(), state, direct=last.tool_output.content)
        # A hand-off to nobody, or to itself, is no end: the agent has to hear of it.
        elif last is not None and await ctx.store.get("next_agent", default=None) not in (None, self.name):
            await self._settle(ctx, self._speaker(), state)

    @override
    async def finalize(self, ctx: Context[Any], output: AgentOutput, memory: BaseMemory) -> AgentOutput:
        """Tell the workflow's memory what was said, for its other agents."""
        state = await load(ctx, self.name)
        direct = [state.settled] if state.settled is not None and state.direct else []
        await memory.aput_messages([*state.rounds, *direct])
        if isinstance(memory, CarriedMemory) and memory.inner is not None:
            await ctx.store.set(_MEMORY, memory.inner)
        await save(ctx, self.name, state.over())
        if direct:
            output.response = direct[0]
        return output

    @override
    async def _call_tool(self, ctx: Context[Any], tool: AsyncBaseTool, tool_input: dict[str, Any]) -> ToolOutput:
        """Call a tool, its arguments checked."""
        return await cast("Any", super())._call_tool(ctx, CheckedTool(tool, ctx), tool_input)

    # How it speaks with its server.

    async def _delivered(
        self, ctx: AgentContext, speaker: Speaker, dialogue: Sequence[ChatMessage], offered: Offered
    ) -> Delivered:
        state = await load(ctx, self.name)
        stream = AnswerStream(self.name, offered)
        async with aclosing(speaker.deliver(dialogue, state.key, client_tools=offered.client_tools)) as events:
            async for event in events:
                if isinstance(event, Delivered):
                    return event
                if isinstance(event, TurnStarted):
                    begun = speaker.begun(event).to_metadata()
                    await save(ctx, self.name, state.changed(begun=begun))
                elif self.streaming:
                    ctx.write_event_to_stream(stream.event(event))
        raise AssertionError("a delivery ends with what was delivered")

    async def _is_the_last_step(self, ctx: AgentContext, iteration: int) -> bool:
        """Whether the workflow ends with this step whatever comes of it, and nobody will answer its calls."""
        if iteration + 1 < await ctx.store.get("max_iterations", default=iteration + 2):
            return False
        method: Literal["force", "generate"] = await ctx.store.get("early_stopping_method", default="force")
        return method == "force" or not isinstance(self.llm, AgentLLM)

    async def _settle(self, ctx: HasStore, speaker: Speaker, state: AgentState, *, direct: str = "") -> None:
        """Deliver results, and denials for calls that have none, in a request that asks for no answer.

        A step is used up by them (`max_steps` 1: measured on 0.16.8).
        """
        answered = Anchor.model_validate(letta_of(state.answer) if state.answer is not None else None)
        try:
            async with aclosing(speaker.deliver(state.standing, state.key, max_steps=1)) as events:
                settled = [event async for event in events if isinstance(event, Delivered)][-1]
        except LettaError as error:
            _LOG.warning("The calls of the agent could not be answered; its next turn does it: %s", error)
            return
        anchor = speaker.signed(settled.anchor, system_hash=answered.system_hash)
        end = placed(anchor, direct, **{AUTHOR: self.name})
        await save(ctx, self.name, state.changed(settled=end, direct=bool(direct)))

    def _speaker(self) -> Speaker:
        return Speaker(
            name=self.name,
            target=Target(agent_id=self.agent_id, conversation_id=self.conversation_id),
            client=self.client,
            policies=self._policies(),
            options=TurnOptions(**{name: getattr(self, name) for name in _OPTIONS}),
            busy_timeout=self.busy_timeout,
            anchor_key=self.anchor_key.get_secret_value() if self.anchor_key is not None else None,
        )

    def _policies(self) -> Policies:
        return Policies(**{name: getattr(self, name) for name in _POLICIES})

    @property
    def client(self) -> AsyncLettaClient:
        """The client that the agent uses."""
        if self.async_client is not None:
            return self.async_client
        if self._client is None:
            self._client = AsyncLettaClient(
                base_url=self.base_url,
                api_key=self.api_key,
                timeout=self.idle_timeout,
                max_retries=self.max_retries,
                busy_timeout=self.busy_timeout,
                http_client=self.http_async_client,
            )
        return self._client

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of a client of your own stay open."""
        if self._client is not None:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _was_given_up(ctx: Context[Any]) -> bool:
    """Whether a context is of a run that is over and has steps left to do: it was cancelled, or ran out of time."""
    if ctx.is_running:
        return False
    saved = ctx.to_dict(include_state=False)
    return bool(saved["is_running"]) or any(one["queue"] or one["in_progress"] for one in saved["workers"].values())


def _afresh(agent: LettaAgent, ctx: Context[Any]) -> Context[Any]:
    """A context that knows what another one knows, without its steps."""
    saved = ctx.to_dict()
    return Context.from_dict(agent, {name: saved[name] for name in ("version", "state")})


_NOT_LOOKED_AT = frozenset({"__fields__", "__fields_set__", "model_computed_fields", "model_fields", "client"})
_MEMORY = "memory"
"""Where a workflow keeps its memory."""

_POLICIES = ("system_messages", "on_divergence", "on_pending_approval", "on_abandon")
"""Fields that say what becomes of what."""

_OPTIONS = (
    "client_skills",
    "max_steps",
    "override_model",
    "override_system",
    "include_return_message_types",
    "background",
)
"""Fields that go to the API as they are."""
