"""Three agents of one workflow: two Letta agents, and one of LlamaIndex's own, which print a label for a parcel.

The desk talks with people and remembers them, the scales weigh, the clerk prints. Each hands over to the next; each
Letta agent has a conversation of its own, so that the desk still knows in the second run what was sent in the first,
though LlamaIndex's own memory is gone by then where its version does not keep it (0.14.25).

With `LETTA_BASE_URL` (a server of your own) set it runs there, on a new agent with the model `LETTA_MODEL`, which it
deletes again. Otherwise it runs on the embedded double of a server, where `play_model` plays the language model. The
clerk's model is played by `Clerk`, so that no key is needed: any function-calling model of LlamaIndex's will do.
Needs the extras `llama-index` and `testing`.
"""

from __future__ import annotations

import asyncio
import os
import re
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.agent.workflow import AgentOutput, AgentWorkflow, FunctionAgent, ToolCall
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.workflow import Context

from letta_adapters import LettaClient
from letta_adapters.testing import Call, FakeLetta, Reply
from llama_index_letta import LettaAgent


def weigh(parcel: str) -> int:
    """Weigh a parcel; gives grams."""
    return {"A-17": 1200}.get(parcel, 500)


def print_label(parcel: str, grams: int, country: str) -> str:
    """Print the label of a parcel."""
    return f"{parcel}, {grams} g, {country}"


class Clerk(MockFunctionCallingLLM):
    """Plays the clerk's language model: prints what was weighed, and leaves questions to the desk."""

    async def achat_with_tools(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tools: Any, chat_history: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponse:
        """Answer the last message."""
        asked = max(place for place, message in enumerate(chat_history) if message.role == "user")
        told = "\n".join(message.content or "" for message in chat_history[asked:])
        order = re.search(r"Send (\S+) to (\w+)", told)
        if chat_history[-1].role == "tool" and "handling" not in (chat_history[-1].content or ""):
            return _says(f"The label is printed: {chat_history[-1].content}.")
        if order is None:
            return _calls("handoff", to_agent="desk", reason="people's questions are the desk's")
        grams = re.search(r"^(\d+)$", told, re.MULTILINE)
        return _calls("print_label", parcel=order[1], grams=int(grams[1]) if grams else 0, country=order[2])


def _says(text: str) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role="assistant", content=text))


def _calls(name: str, **arguments: Any) -> ChatResponse:
    call = ToolCallBlock(tool_call_id=f"call-{name}", tool_name=name, tool_kwargs=arguments)
    return ChatResponse(message=ChatMessage(role="assistant", blocks=[call]))


def agents_on(url: str, agent_id: str) -> Any:
    """The workflow. The two Letta agents are one at the server, with a conversation each."""
    desk = LettaAgent(
        name="desk",
        description="Talks with people.",
        system_prompt="You are the desk. Parcels have to be weighed before they are sent.",
        agent_id=agent_id,
        base_url=url,
    )
    scales = LettaAgent(
        name="scales",
        description="Weighs parcels.",
        system_prompt="You are the scales. Weigh the parcel, then hand over to the clerk.",
        tools=[weigh],
        agent_id=agent_id,
        base_url=url,
    )
    clerk = FunctionAgent(name="clerk", description="Prints labels.", tools=[print_label], llm=Clerk(), streaming=False)
    return AgentWorkflow(agents=[desk, scales, clerk], root_agent="desk")


async def ask(workflow: Any, ctx: Context[Any], text: str) -> None:
    """Ask, and tell who does what."""
    print(f"you     {text}")
    handler = workflow.run(text, ctx=ctx)
    async for event in handler.stream_events():
        if isinstance(event, ToolCall):
            call = event.model_dump()
            arguments = ", ".join(f"{name}={value!r}" for name, value in call["tool_kwargs"].items())
            print(f"        {call['tool_name']}({arguments})")
    output: AgentOutput = await handler
    print(f"{output.current_agent_name:7} {output}")


async def show(url: str, agent_id: str) -> None:
    """A parcel is sent, and the desk asked about it."""
    # LlamaIndex 0.14.25 does not keep its memory between two runs of a workflow, and says so.
    warnings.filterwarnings("ignore", message="Skipping serialization of known unserializable key")
    workflow = agents_on(url, agent_id)
    ctx: Context[Any] = Context(workflow)
    await ask(workflow, ctx, "Send A-17 to Norway.")
    await ask(workflow, ctx, "What did I send?")


# Where it runs.


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Play the language model of both Letta agents on the double."""
    told = "\n".join(str(message["content"]) for message in messages)
    order = re.search(r"Send (\S+) to (\w+)", told)
    assert order is not None
    if "You are the scales." in told:
        if messages[-1]["role"] == "tool":
            return _hands_over("clerk", "it is weighed")
        return Reply(calls=(Call(name="weigh", arguments=f'{{"parcel": "{order[1]}"}}'),))
    if "What did I send?" in told:
        return Reply(text=f"You sent {order[1]} to {order[2]}.")
    return _hands_over("scales", "it has to be weighed")


def _hands_over(to: str, reason: str) -> Reply:
    return Reply(calls=(Call(name="handoff", arguments=f'{{"to_agent": "{to}", "reason": "{reason}"}}'),))


@contextmanager
def server() -> Generator[str, None, None]:
    """The address of the server."""
    if url := os.environ.get("LETTA_BASE_URL"):
        yield url
    else:
        with FakeLetta(model=play_model) as fake:
            yield fake.base_url


@contextmanager
def agent_on(url: str) -> Generator[str, None, None]:
    """An agent that is deleted again."""
    with LettaClient(base_url=url) as client:
        agent = client.agents.create(name="post-office", model=os.environ.get("LETTA_MODEL"), include_base_tools=False)
        try:
            yield agent.id
        finally:
            client.agents.delete(agent.id)


if __name__ == "__main__":
    with server() as url, agent_on(url) as agent_id:
        asyncio.run(show(url, agent_id))
