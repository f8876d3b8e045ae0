"""`LettaAgent`: a Letta agent in LlamaIndex's agent workflows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, cast

from llama_index.core.agent.workflow import AgentInput, AgentOutput, ToolCallResult
from llama_index.core.agent.workflow.workflow_events import AgentWorkflowStartEvent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool, ToolOutput
from llama_index.core.workflow import Context
from typing_extensions import Self, override
from workflows.handler import WorkflowHandler

from letta_adapters.delivery_steps import Delivered
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn, PendingCall, TurnStarted
from letta_adapters.transcript import Anchor
from llama_index_letta import agent_holds
from llama_index_letta.agent_answers import AUTHOR, AnswerStream, calls_in, result_message, selections
from llama_index_letta.agent_approvals import ask, of_others, undecided
from llama_index_letta.agent_llm import AgentLLM
from llama_index_letta.agent_memory import CarriedMemory
from llama_index_letta.agent_settings import AgentSettings
from llama_index_letta.agent_state import AgentState, HasStore, afresh, load, placed, save, was_given_up
from llama_index_letta.agent_tools import CheckedTool, Offered
from llama_index_letta.agent_turns import Speaker
from llama_index_letta.messages import letta_of
from llama_index_letta.tracing import tell_of_calls

if TYPE_CHECKING:
    from llama_index.core.agent.workflow.agent_context import AgentContext

__all__ = ["LettaAgent"]

_LOG = logging.getLogger("llama_index_letta")


class LettaAgent(AgentSettings):
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

    def for_conversation(self, conversation_id: str) -> Self:
        """Make an agent like this one, all of whose runs go on in a conversation; it shares the connections."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        if isinstance(self.llm, AgentLLM):
            del fields["llm"]
        here: dict[str, Any] = {"conversation_id": conversation_id, "async_client": self.client}
        if conversation_id != "default":
            here["agent_id"] = None  # the conversation says which
        return type(self)(**{**fields, **self._of_workflow, **here})

    @override
    def run(self, *args: Any, **kwargs: Any) -> WorkflowHandler:
        """Run the agent: `run("Hello")`, `run(user_msg=..., ctx=..., memory=..., max_iterations=...)`.

        With the `Context` of a run that was cancelled or ran out of time a new message begins a new run, and what was
        under way is given up. Without a message a cancelled run goes on, as one does that was saved in the middle.
        """
        ctx: Context[Any] | None = kwargs.get("ctx")
        if ctx is not None and was_given_up(ctx):
            says_something = args or kwargs.keys() & {"user_msg", "chat_history", "start_event"}
            kwargs["ctx"] = afresh(self, ctx) if says_something else Context.from_dict(self, ctx.to_dict())
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
        """Send what is new and stream the answer; ask a person where a call of the server's waits for one."""
        offered = Offered.of(tools)
        iteration: int = await ctx.store.get("num_iterations", default=0)
        state = await save(ctx, self.name, (await load(ctx, self.name)).begin(iteration, llm_input))
        await ctx.store.set(_MEMORY, await CarriedMemory.around(memory))
        with agent_holds.step_of(state.key):
            turn = None
            if not state.asking:
                ctx.write_event_to_stream(AgentInput(input=[*llm_input, *state.said], current_agent_name=self.name))
                turn = await self._turn(ctx, state, llm_input, offered)
                state = await load(ctx, self.name)
            answer = state.answer
            assert answer is not None, "a step has an answer"
            calls = calls_in(answer)
            others = of_others(calls, offered)
            chosen, refused = selections([call for call in calls if call not in others], offered)
            state = await save(ctx, self.name, state.with_results(refused))
            if calls and await self._is_the_last_step(ctx, iteration):
                await self._settle(ctx, self._speaker(), state)
                calls, others = [], []
            await self._keep_others_away(state.key, Anchor.model_validate(letta_of(answer)), calls, others)
        state = await self._decided(ctx, state, others)
        tell_of_calls(chosen, offered.metadata)
        return AgentOutput(
            response=answer,
            tool_calls=chosen,
            raw=turn,
            current_agent_name=self.name,
            # A workflow asks again where there is something to retry; what is told then are the results of the calls.
            retry_messages=state.results if not chosen else [],
        )

    async def _turn(
        self, ctx: AgentContext, state: AgentState, llm_input: Sequence[ChatMessage], offered: Offered
    ) -> FinishedTurn:
        """Have a turn, after those of others in the conversation, and keep its answer."""
        speaker = self._speaker()
        dialogue = speaker.dialogue(state, llm_input)
        await agent_holds.begin(state.key, speaker.turn_after(speaker.anchor_in(dialogue)), self.busy_timeout)
        delivered = await self._delivered(ctx, speaker, dialogue, offered)
        answer = speaker.answer(delivered, frozenset(offered.names))
        await save(ctx, self.name, state.changed(answer=answer, results=[], begun=None))
        return delivered.turn

    async def _keep_others_away(
        self, key: str, answer: Anchor, calls: Sequence[PendingCall], others: Sequence[PendingCall]
    ) -> None:
        """Keep the conversation for this run as long as it has calls to answer."""
        if others and self.on_approval == "error":
            raise undecided(others, answer)
        if calls:
            await agent_holds.keep(key, self._speaker().turn_after(answer), self.busy_timeout, self)
        else:
            agent_holds.let_go(key)

    async def _decided(self, ctx: AgentContext, state: AgentState, calls: Sequence[PendingCall]) -> AgentState:
        """Ask a person about calls, each once; the step is run again whenever somebody has answered."""
        for call in calls:
            if not state.knows(call.tool_call_id):
                state = await save(ctx, self.name, state.changed(asking=True))
                decision = await ask(ctx, self.name, state.step, call)
                state = await save(ctx, self.name, state.with_results([decision]))
        return await save(ctx, self.name, state.changed(asking=False)) if calls else state

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
            agent_holds.let_go(state.key)
        # A hand-off to nobody, or to itself, is no end: the agent has to hear of it.
        elif last is not None and await ctx.store.get("next_agent", default=None) not in (None, self.name):
            await self._settle(ctx, self._speaker(), state)
            agent_holds.let_go(state.key)

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
        agent_holds.enter((await load(ctx, self.name)).key)
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


_MEMORY = "memory"
"""Where a workflow keeps its memory."""
