"""The main job in one minute: a chain, a streamed answer, a tool loop, and a memory that outlives the transcript.

With `LETTA_BASE_URL` (a server of your own) or `LETTA_API_KEY` (Letta Cloud) set it runs there, on the agent
`LETTA_AGENT_ID` or on a new one with the model `LETTA_MODEL`; what it creates it deletes. Otherwise it runs on the
embedded double of a server, where `play_model` below plays the language model.
"""

# LangChain leaves the type parameters of its agents open.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import LLMResult
from langchain_core.prompts import ChatPromptTemplate
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.client.settings import CLOUD_URL
from letta_adapters.errors import LettaError
from letta_adapters.testing import Call, FakeLetta, Reply
from letta_adapters.wire import (
    Approval,
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
    KnownMessage,
    ReasoningMessage,
    SystemMessage,
    ToolCallMessage,
    ToolReturn,
    ToolReturnMessage,
    Unknown,
    UserMessage,
    calls_of,
    returns_of,
    text_of,
)

CONSOLE = Console(highlight=False)


# What the agent may ask this program to do.


def weigh_parcel(parcel: str) -> int:
    """Weigh a parcel; gives grams."""
    return {"A-17": 1200}.get(parcel, 500)


def look_up_postage(country: str, grams: int) -> str:
    """Look up what it costs to send a parcel of this weight to a country."""
    return f"{2 + grams / 100:.2f} EUR to {country}"


# The five parts.


def show_chain(model: ChatLetta) -> None:
    """`prompt | model | parser`, as with any chat model."""
    prompt = ChatPromptTemplate.from_messages([("human", "Explain {thing} in one sentence.")])
    chain = prompt | model | StrOutputParser()
    say("you", "Explain a postage stamp in one sentence.")
    say("agent", chain.invoke({"thing": "a postage stamp"}))


def show_stream(model: ChatLetta) -> None:
    """An answer as it arrives; `|` marks where one chunk ends."""
    question = "Name the seven days of the week."
    say("you", question)
    CONSOLE.print("agent  ", style="green", end="")
    for chunk in model.stream(question):
        if chunk.text:
            CONSOLE.print(f"{chunk.text}[dim]|[/dim]", end="", soft_wrap=True)
    CONSOLE.print()


def show_tools(model: ChatLetta) -> str:
    """A LangChain agent with two tools that this program runs; gives the id of the conversation."""
    agent = create_agent(model, [weigh_parcel, look_up_postage])
    question = "I am Ann. Weigh my parcel A-17, then tell me what it costs to send it to Norway."
    say("you", question)
    messages: list[BaseMessage] = agent.invoke({"messages": [HumanMessage(question)]})["messages"]
    for message in messages[1:]:
        match message:
            case AIMessage():
                if message.text:
                    say("agent", message.text)
                for call in message.tool_calls:
                    say("call", f"{call['name']}({', '.join(f'{k}={v!r}' for k, v in call['args'].items())})")
            case ToolMessage():
                say("result", message.text)
            case _:
                pass
    if not any(isinstance(message, ToolMessage) for message in messages):
        say("note", "The language model behind this agent called no tool.")
    return messages[-1].response_metadata["letta"]["conversation_id"]


def show_memory(model: ChatLetta, conversation_id: str) -> None:
    """Another model object, pinned to that conversation, sends one new message and nothing of the transcript."""
    pinned = ChatLetta(agent_id=model.agent_id, conversation_id=conversation_id, base_url=model.base_url)
    question = "What is my name, and which parcel did I ask about?"
    say("you", question)
    say("agent", pinned.invoke(question).text)


def show_stored(client: LettaClient, conversation_id: str) -> None:
    """The conversation as the server stored it: every message once."""
    one_line = Column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    table = Table(Column("type", no_wrap=True), one_line, box=None, pad_edge=False, expand=True)
    for row in client.conversations.messages.list(conversation_id, order="asc"):
        table.add_row(row.message_type, Text(" ".join(told(row).split())))
    CONSOLE.print(table)


def told(row: KnownMessage | Unknown) -> str:
    """What a stored message says, in one line."""
    match row:
        case UserMessage() | AssistantMessage():
            return text_of(row.content)
        case SystemMessage():
            return row.content
        case ReasoningMessage():
            return row.reasoning
        case ToolCallMessage() | ApprovalRequestMessage():
            return ", ".join(f"{call.name} {call.arguments}" for call in calls_of(row))
        case ApprovalResponseMessage():
            return ", ".join(_decision(answer) for answer in row.approvals or ())
        case ToolReturnMessage():
            return ", ".join(text_of(result.tool_return) for result in returns_of(row))
        case _:
            return ""


def _decision(answer: Approval) -> str:
    if isinstance(answer, ToolReturn):
        return f"{answer.status} of {answer.tool_call_id}"
    return f"{'approved' if answer.approve else 'denied'} {answer.tool_call_id}"


def say(who: str, text: str) -> None:
    """Print one line of the dialogue."""
    style = {"you": "cyan", "agent": "green"}.get(who, "yellow")
    CONSOLE.print(f"[{style}]{who:<7}[/{style}]", end="")
    CONSOLE.print(text, markup=False, soft_wrap=True)


# Where it runs.


class Conversations(BaseCallbackHandler):
    """Notes the conversations that a model starts, so that they can be deleted."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generations in response.generations:
            for generation in generations:
                message = getattr(generation, "message", None)
                if isinstance(message, AIMessage):
                    self.ids.setdefault(message.response_metadata["letta"]["conversation_id"])


@contextmanager
def server() -> Generator[LettaClient, None, None]:
    """The server of the environment, else the embedded double."""
    if os.environ.get("LETTA_BASE_URL") or os.environ.get("LETTA_API_KEY"):
        with LettaClient() as client:
            CONSOLE.print(f"On the server at {client.base_url}.", soft_wrap=True)
            yield client
    else:
        with FakeLetta(model=play_model) as fake, LettaClient(base_url=fake.base_url) as client:
            CONSOLE.print("On the embedded double; set LETTA_BASE_URL or LETTA_API_KEY for a real server.")
            yield client


@contextmanager
def agent_on(client: LettaClient) -> Generator[str, None, None]:
    """The agent of the environment, else a new one that is deleted again."""
    if existing := os.environ.get("LETTA_AGENT_ID"):
        yield client.agents.retrieve(existing).id
        return
    agent = client.agents.create(
        name="letta-adapters-demo",
        model=os.environ.get("LETTA_MODEL") or first_model(client),
        memory_blocks=[{"label": "human", "value": "Likes short answers."}],
        include_base_tools=False,
    )
    try:
        yield agent.id
    finally:
        client.agents.delete(agent.id)


def first_model(client: LettaClient) -> str | None:
    """The first model that somebody set up on a server of their own; Letta Cloud has a default."""
    if client.base_url == CLOUD_URL:
        return None
    handles = [model.handle for model in client.models.list()]
    # Every server lists Letta's own free model first, whether it can be reached or not.
    return next((handle for handle in handles if handle != "letta/letta-free"), next(iter(handles), None))


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Play the language model on the double: it sees what the server kept, and nothing else."""
    asked = [str(message["content"]) for message in messages if message["role"] == "user"]
    last = messages[-1]
    if last["role"] == "tool":
        return _after_tool(str(json.loads(last["content"])["message"]))  # a server packs results in JSON
    if "Weigh" in asked[-1]:
        return Reply(text="I will weigh it.", calls=(Call(name="weigh_parcel", arguments='{"parcel": "A-17"}'),))
    if "What is my name" in asked[-1]:
        heard = re.search(r"I am (\w+).*parcel (\S+),", " ".join(asked[:-1]))
        return Reply(text="You are {}, and you asked about {}.".format(*heard.groups()) if heard else "I do not know.")
    if "week" in asked[-1]:
        return Reply(text="Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.")
    return Reply(text="A small piece of paper on an envelope that shows the postage was paid.")


def _after_tool(result: str) -> Reply:
    if result.isdigit():
        arguments = f'{{"country": "Norway", "grams": {result}}}'
        return Reply(calls=(Call(name="look_up_postage", arguments=arguments),))
    return Reply(text=f"It costs {result}.")


def run() -> None:
    """Show the five parts."""
    with server() as client, agent_on(client) as agent_id:
        started = Conversations()
        model = ChatLetta(agent_id=agent_id, base_url=client.base_url, callbacks=[started])
        try:
            CONSOLE.rule("A chain: prompt | model | parser", align="left")
            show_chain(model)
            CONSOLE.rule("A streamed answer", align="left")
            show_stream(model)
            CONSOLE.rule("A tool loop: create_agent", align="left")
            conversation_id = show_tools(model)
            CONSOLE.rule("Memory: one new message, no transcript", align="left")
            show_memory(model, conversation_id)
            CONSOLE.rule("The conversation as the server stored it", align="left")
            show_stored(client, conversation_id)
        finally:
            for each in started.ids:
                client.conversations.delete(each)


def main() -> int:
    """Run it; an error is one line."""
    try:
        run()
    except (LettaError, ValueError) as error:
        CONSOLE.print(f"\n{type(error).__name__}: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
