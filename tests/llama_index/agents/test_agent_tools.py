"""The tools of a `LettaAgent`: the workflow runs each once, and the server gets each result once."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import httpx
import pytest
from llama_index.core.agent.workflow import AgentOutput, ToolCall, ToolCallResult
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import BaseTool, FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context, Event
from pydantic import BaseModel

from letta_adapters.errors import PendingApprovalError
from tests.contract.wire import Wire
from tests.langchain.readback import Reader
from tests.llama_index.agents.support import (
    ADD,
    MULTIPLY,
    MakeAgent,
    add,
    conversation_of,
    events_of,
    multiply,
    of_type,
    said,
)

PIXEL = b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Parcel(BaseModel):
    number: str
    grams: int


class Weighed(Event):
    grams: int


class Meeting:
    """Everybody waits until all are there."""

    def __init__(self, number: int) -> None:
        self._missing = number
        self._all_there = asyncio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all_there.set()
        await self._all_there.wait()


@pytest.mark.usefixtures("parallel_calls")
async def test_calls_of_one_answer_run_side_by_side_and_are_answered_together(
    make_agent: MakeAgent, reader: Reader
) -> None:
    both = Meeting(2)

    async def one(a: int, b: int) -> int:
        """Give the first when the other runs, too."""
        await both.wait()
        return a

    async def other(a: int, b: int) -> int:
        """Give the second when the other runs, too."""
        await both.wait()
        return b

    text = '[[call one {"a": 1, "b": 2}]] [[call other {"a": 3, "b": 4}]]'
    output: AgentOutput = await make_agent(tools=[one, other]).run(text)

    assert str(output) == "The tools answered: 1 | 4"
    answers = reader.answers(conversation_of(output))
    assert [(one["tool_return"], one["status"]) for one in answers] == [("1", "success"), ("4", "success")]
    rows = reader.rows(conversation_of(output))
    assert len([row for row in rows if row["message_type"] == "approval_response_message"]) == 1


async def test_arguments_are_checked_and_made_what_the_tool_takes(make_agent: MakeAgent) -> None:
    seen: list[Any] = []

    def weigh(parcel: Parcel, times: int) -> str:
        """Weigh a parcel."""
        seen.append((parcel, times))
        return "done"

    text = '[[call weigh {"parcel": {"number": "A-17", "grams": "5"}, "times": "2"}]]'
    assert str(await make_agent(tools=[weigh]).run(text)) == "The tools answered: done"
    assert seen == [(Parcel(number="A-17", grams=5), 2)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"a": 1}', "b: Field required"),
        ('{"a": "x", "b": 2}', "a: Input should be a valid integer"),
        ('{"a": 1', "the arguments are not JSON"),
        ("7", "the arguments are no JSON object"),
    ],
)
async def test_arguments_that_do_not_fit_are_an_error_and_nothing_runs(
    make_agent: MakeAgent, reader: Reader, arguments: str, told: str
) -> None:
    ran: list[object] = []

    def add(a: int, b: int) -> None:
        """Add two numbers."""
        ran.append((a, b))

    output: AgentOutput = await make_agent(tools=[add]).run(f"[[call add {arguments}]] [[next]] [[say I see]]")

    assert (str(output), ran) == ("I see", [])
    (answer,) = reader.answers(conversation_of(output))
    assert answer["status"] == "error"
    assert told in answer["tool_return"]


@pytest.mark.usefixtures("parallel_calls")
async def test_a_call_that_cannot_be_read_does_not_keep_the_others_from_running(
    make_agent: MakeAgent, reader: Reader
) -> None:
    output: AgentOutput = await make_agent(tools=[add, multiply]).run(f"[[call add oops]] {MULTIPLY}")

    statuses = {one["tool_return"][:8]: one["status"] for one in reader.answers(conversation_of(output))}
    assert statuses == {"the argu": "error", "12": "success"}
    assert [one.tool_name for one in output.tool_calls] == ["multiply"]


async def test_an_error_of_a_tool_is_told_with_its_type_once(make_agent: MakeAgent, reader: Reader) -> None:
    calls: list[int] = []

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        calls.append(a)
        raise KeyError("zz")

    output: AgentOutput = await make_agent(tools=[add]).run(ADD)

    (answer,) = reader.answers(conversation_of(output))
    assert (answer["status"], answer["tool_return"], calls) == ("error", "KeyError: 'zz'", [1])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": 1}, '{"a":1}'),
        ([1, None], "[1,null]"),
        (Parcel(number="A", grams=2), '{"number":"A","grams":2}'),
        (True, "true"),
        ("", ""),
        ([NodeWithScore(node=TextNode(text="one")), NodeWithScore(node=TextNode(text="two"))], "one\n\ntwo"),
        (ToolOutput(tool_name="x", content="inner", raw_input={}, raw_output=1), "inner"),
    ],
    ids=["dict", "list", "model", "bool", "empty", "nodes", "nested"],
)
async def test_results_are_told_as_they_are_meant(
    make_agent: MakeAgent, reader: Reader, value: object, told: str
) -> None:
    def give() -> object:
        """Give something."""
        return value

    output: AgentOutput = await make_agent(tools=[give]).run("[[call give {}]] [[next]] [[say thanks]]")

    (answer,) = reader.answers(conversation_of(output))
    assert (answer["tool_return"], answer["status"]) == (told, "success")


async def test_a_tool_that_gives_something_else_than_it_says_is_not_the_end_of_a_run(
    make_agent: MakeAgent, reader: Reader
) -> None:
    class Plain(BaseTool):
        @property
        def metadata(self) -> ToolMetadata:
            return ToolMetadata(name="plain", description="Give something.")

        def __call__(self, input: Any) -> Any:
            return {"given": input}

    output: AgentOutput = await make_agent(tools=[Plain()]).run('[[call plain {"input": "x"}]]')

    (answer,) = reader.answers(conversation_of(output))
    assert (answer["tool_return"], answer["status"]) == ('{"given":"x"}', "success")


async def test_an_image_of_a_tool_goes_to_the_agent(make_agent: MakeAgent, reader: Reader) -> None:
    def look() -> ToolOutput:
        """Look."""
        picture = ImageBlock(image=PIXEL, image_mimetype="image/png")
        return ToolOutput(tool_name="look", blocks=[picture], raw_input={}, raw_output=None)

    output: AgentOutput = await make_agent(tools=[look]).run("[[call look {}]] [[next]] [[say nice]]")

    rows = reader.rows(conversation_of(output))
    (returned,) = [row for row in rows if row["message_type"] == "tool_return_message"]
    assert [part["type"] for part in returned["tool_returns"][0]["tool_return"]] == ["image"]


async def test_a_name_that_the_api_does_not_take_is_translated_both_ways(make_agent: MakeAgent) -> None:
    tool = FunctionTool.from_defaults(fn=add, name="add two")
    handler = make_agent(tools=[tool]).run('[[call add_two {"a": 1, "b": 2}]]')

    (call,) = of_type(await events_of(handler), ToolCall)
    assert call.tool_name == "add two"
    assert str(await handler) == "The tools answered: 3"


async def test_a_tool_has_the_context_of_the_run(make_agent: MakeAgent) -> None:
    async def weigh(ctx: Context, parcel: str) -> str:
        """Weigh a parcel."""
        async with ctx.store.edit_state() as state:
            state["weighed"] = [parcel]
        ctx.write_event_to_stream(Weighed(grams=5))
        return "5 g"

    handler = make_agent(tools=[weigh]).run('[[call weigh {"parcel": "A-17"}]]')
    events = await events_of(handler)

    assert [event.grams for event in of_type(events, Weighed)] == [5]
    assert await handler.ctx.store.get("weighed") == ["A-17"]


async def test_the_result_of_a_tool_that_returns_directly_is_the_answer_and_reaches_the_server(
    make_agent: MakeAgent, reader: Reader
) -> None:
    agent = make_agent(tools=[FunctionTool.from_defaults(add, return_direct=True)])
    handler = agent.run(ADD)
    output: AgentOutput = await handler

    told = [("user", ADD), ("calls", "add"), ("results", "3")]
    assert str(output) == "3"
    assert reader.story(conversation_of(output)) == told  # and no word more: the model was not asked again
    again = await agent.run("two", ctx=handler.ctx)
    assert reader.story(conversation_of(again)) == [*told, *said("two")]


class NoSettling(httpx.AsyncHTTPTransport):
    """A network that loses requests which ask for no answer."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if b'"max_steps":1' in request.content.replace(b" ", b""):
            raise httpx.ConnectError("lost", request=request)
        return await super().handle_async_request(request)


async def test_a_result_that_cannot_be_delivered_at_the_end_goes_with_the_next_message(
    make_agent: MakeAgent, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    tool = FunctionTool.from_defaults(add, return_direct=True)
    async with httpx.AsyncClient(transport=NoSettling()) as http:
        agent = make_agent(tools=[tool], http_async_client=http, max_retries=0)
        handler = agent.run(ADD)
        assert str(await handler) == "3"
        again = await agent.run("two", ctx=handler.ctx)

    assert "its next turn does it" in caplog.text
    assert [(one["tool_return"], one["status"]) for one in reader.answers(conversation_of(again))] == [("3", "success")]
    assert reader.story(conversation_of(again))[-2:] == said("two")


async def test_a_tool_that_returns_directly_and_fails_does_not_end_the_run(
    make_agent: MakeAgent, reader: Reader
) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        raise ValueError("too many")

    tool = FunctionTool.from_defaults(add, return_direct=True)
    output: AgentOutput = await make_agent(tools=[tool]).run(f"{ADD} [[next]] [[say Oh]]")

    assert str(output) == "Oh"
    assert [line for line in reader.story(conversation_of(output)) if line[0] == "assistant"] == [("assistant", "Oh")]


def shout(text: str) -> str:
    """Shout.

    Args:
        text (str): What to shout.
    """
    return text.upper()


async def test_what_the_server_runs_itself_is_told_and_not_run_here(
    make_agent: MakeAgent, agent_id: str, wire: Wire
) -> None:
    tool = wire.http.post("/v1/tools/", json={"source_code": inspect.getsource(shout)}).raise_for_status().json()
    wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{tool['id']}").raise_for_status()

    handler = make_agent(tools=[add]).run('[[call shout {"text": "hey"}]] [[next]] [[say Done]]')
    events = await events_of(handler)
    output: AgentOutput = await handler

    assert of_type(events, ToolCallResult) == []
    assert (str(output), output.tool_calls) == ("Done", [])
    kinds = [part["kind"] for part in output.response.additional_kwargs["letta"]["parts"]]
    assert kinds == ["ServerToolCall", "ServerToolResult", "Text"]
    assert [type(block).__name__ for block in output.response.blocks] == ["TextBlock"]


async def test_a_call_that_waits_for_a_person_is_told_and_decided_by_nobody_here(
    make_agent: MakeAgent, agent_id: str, conversation_id: str, reader: Reader, wire: Wire
) -> None:
    tool = wire.http.post("/v1/tools/", json={"source_code": inspect.getsource(shout)}).raise_for_status().json()
    wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{tool['id']}").raise_for_status()
    guarded = {"requires_approval": True}
    path = f"/v1/agents/{agent_id}/tools/approval/{tool['name']}"
    wire.http.patch(path, params=guarded, json=guarded).raise_for_status()
    agent = make_agent(tools=[add], conversation_id=conversation_id)
    ctx = Context(agent)

    for text in ('[[call shout {"text": "hey"}]]', "two"):
        with pytest.raises(PendingApprovalError, match="shout") as raised:
            await agent.run(text, ctx=ctx)
        assert [call["name"] for call in raised.value.pending] == ["shout"]

    assert reader.answers(conversation_id) == []


def test_tools_that_cannot_be_offered_are_refused_at_construction(make_agent: MakeAgent) -> None:
    with pytest.raises(ValueError, match="Two tools are named 'add'"):
        make_agent(tools=[add, FunctionTool.from_defaults(multiply, name="add")])
    with pytest.raises(ValueError, match="'handoff'"):
        make_agent(tools=[FunctionTool.from_defaults(add, name="handoff")])
