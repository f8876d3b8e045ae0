"""`demo`: what the client does, in a minute, with an agent of yours or on an embedded double of a server."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from letta_adapters.cli.options import BaseUrl
from letta_adapters.cli.reporting import Output, reporting
from letta_adapters.cli.words import STYLES, Speaker, said
from letta_adapters.client import LettaClient
from letta_adapters.events import TextDelta
from letta_adapters.loop import ToolFinished, ToolStarted, stream_turn

if TYPE_CHECKING:
    from letta_adapters.testing import Reply

__all__ = ["demo"]

_GREETING = "Hello, I am Ann. Name the seven days of the week."
_SUM = "Add 19 and 23 with your tool, then multiply the sum by 2 with the other one."
_MEMORY = "What is my name, and which numbers did I ask you to add?"
_EXCERPT = 60


def demo(
    agent: Annotated[
        str | None, typer.Argument(metavar="AGENT", envvar="LETTA_AGENT_ID", help="An agent of yours; else the double.")
    ] = None,
    base_url: BaseUrl = None,
) -> None:
    """Show a streamed answer, a loop of tools, a memory, and what the server stored of it all.

    With an agent it talks to that one, in a conversation that it deletes again. Without one it runs on an embedded
    double of a server, which needs the extra `testing` and no key.
    """
    with reporting() as output, _server(agent, base_url, output) as (client, agent_id):
        conversation_id = client.conversations.create(agent_id=agent_id).id
        try:
            _heading(output, "A streamed answer")
            _stream(client, output, conversation_id, _GREETING)
            _heading(output, "Tools that this program runs")
            _run_tools(client, output, conversation_id)
            _heading(output, "Memory: another client, one new message")
            with LettaClient(base_url=client.base_url) as other:
                _stream(other, output, conversation_id, _MEMORY)
            _heading(output, "What the server stored")
            for row in client.conversations.messages.list(conversation_id, order="asc"):
                words = said(row)
                _line(output, words.speaker, " ".join(words.text.split())[:_EXCERPT])
        finally:
            client.conversations.delete(conversation_id)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def _stream(client: LettaClient, output: Output, conversation_id: str, question: str) -> None:
    _line(output, "user", question)
    _line(output, "agent", "", end="")
    with client.conversations.messages.create(conversation_id, input=question) as turn:
        for event in turn:
            if isinstance(event, TextDelta):
                output.say(event.text, end="")
    output.say("")


def _run_tools(client: LettaClient, output: Output, conversation_id: str) -> None:
    _line(output, "user", _SUM)
    loop = stream_turn(client, conversation_id, _SUM, tools=[add, multiply])
    for event in loop:
        match event:
            case ToolStarted():
                _line(output, "call", f"{event.call.name} {event.call.arguments}")
            case ToolFinished():
                _line(output, "result", event.execution.text)
            case _:
                pass
    result = loop.result()
    _line(output, "agent", result.text)
    if not result.executions:
        output.note("The language model behind this agent called no tool.")


def _heading(output: Output, title: str) -> None:
    output.say(f"\n{title}", "bold")


def _line(output: Output, who: Speaker, text: str, *, end: str = "\n") -> None:
    output.say(f"{who:<9}", STYLES[who], end="")
    output.say(text, end=end)


@contextmanager
def _server(
    agent_id: str | None, base_url: str | None, output: Output
) -> Generator[tuple[LettaClient, str], None, None]:
    if agent_id is not None:
        with LettaClient(base_url=base_url) as client:
            output.say(f"With {client.agents.retrieve(agent_id).name} at {client.base_url}.")
            yield client, agent_id
        return
    try:
        from letta_adapters.testing import FakeLetta
    except ModuleNotFoundError:
        raise ValueError(
            "Name an agent (LETTA_AGENT_ID), or install the double: pip install 'letta-adapters[cli,testing]'"
        ) from None
    with FakeLetta(model=_play_model) as fake, LettaClient(base_url=fake.base_url, api_key="none") as client:
        output.say("On an embedded double of a server; name an agent (LETTA_AGENT_ID) to talk to a real one.")
        yield client, client.agents.create(name="demo").id


def _play_model(messages: Sequence[Mapping[str, Any]]) -> Reply:
    """Play the language model on the double: it sees what the server kept, and nothing else."""
    from letta_adapters.testing import Call, Reply

    asked = [str(message["content"]) for message in messages if message["role"] == "user"]
    results = [str(message["content"]) for message in messages if message["role"] == "tool"]
    if messages[-1]["role"] == "tool" and len(results) == 1:
        return Reply(calls=(Call(name="multiply", arguments='{"a": 42, "b": 2}'),))
    if messages[-1]["role"] == "tool":
        return Reply(text="That makes 84.")
    if asked[-1] == _SUM:
        return Reply(text="I will add them.", calls=(Call(name="add", arguments='{"a": 19, "b": 23}'),))
    if asked[-1] == _MEMORY:
        said_before = " ".join(asked[:-1])
        name, *numbers = re.findall(r"(?<=I am )\w+|\d+", said_before)
        return Reply(text=f"You are {name}, and the numbers were {numbers[0]} and {numbers[1]}.")
    return Reply(text="Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.")
