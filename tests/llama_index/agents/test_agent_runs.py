"""`agent.run`: the answer, its events, and whose conversation it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentInput, AgentOutput, AgentStream, ToolCall, ToolCallResult
from llama_index.core.base.llms.types import AudioBlock, ChatMessage, ImageBlock, TextBlock, ThinkingBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context

from letta_adapters.errors import LettaError, TurnFailed
from llama_index_letta import LettaAgent
from tests.conftest import NOWHERE, Backend, fresh_agent
from tests.langchain.readback import Reader
from tests.llama_index.agents.support import (
    ADD,
    IN_SEQUENCE,
    MakeAgent,
    add,
    conversation_of,
    events_of,
    letta,
    multiply,
    of_type,
    restored,
    said,
    saved,
    until,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


async def test_a_run_gives_the_answer_and_the_server_has_it_once(make_agent: MakeAgent, reader: Reader) -> None:
    output: AgentOutput = await make_agent().run("Hello")

    assert str(output) == "You said: Hello"
    assert reader.story(conversation_of(output)) == said("Hello")


async def test_a_run_tells_its_events_in_order(make_agent: MakeAgent) -> None:
    handler = make_agent(tools=[add]).run(f"[[think Let me see]] {ADD} [[next]] [[say It is three]]")
    events = await events_of(handler)

    kinds = [type(event).__name__ for event in events if not isinstance(event, AgentStream)]
    loop = ["AgentInput", "AgentOutput"]
    assert kinds == [*loop, "ToolCall", "ToolCallResult", *loop, "StopEvent"]
    assert "".join(event.thinking_delta or "" for event in of_type(events, AgentStream)) == "Let me see"
    assert "".join(event.delta for event in of_type(events, AgentStream)) == "It is three"
    (call,), (result,) = of_type(events, ToolCall), of_type(events, ToolCallResult)
    assert call.model_dump() == {"tool_name": "add", "tool_kwargs": {"a": 1, "b": 2}, "tool_id": result.tool_id}
    assert result.tool_output.raw_output == 3
    first, _ = of_type(events, AgentOutput)
    assert [(one.tool_name, one.tool_id) for one in first.tool_calls] == [("add", call.tool_id)]
    assert [message.content for message in of_type(events, AgentInput)[0].input] == [
        f"[[think Let me see]] {ADD} [[next]] [[say It is three]]"
    ]


async def test_the_text_grows_with_every_event(make_agent: MakeAgent) -> None:
    streamed = of_type(await events_of(make_agent().run("[[say one two three]]")), AgentStream)

    text = ""
    for event in streamed:
        text += event.delta
        assert event.response == text
    assert text == "one two three"
    assert len([event for event in streamed if event.delta]) == 3


async def test_without_streaming_there_are_no_deltas_and_the_same_answer(make_agent: MakeAgent) -> None:
    handler = make_agent(streaming=False).run("[[say one two]]")

    assert of_type(await events_of(handler), AgentStream) == []
    assert str(await handler) == "one two"


async def test_the_answer_has_blocks_and_says_where_it_is(make_agent: MakeAgent, agent_id: str) -> None:
    output: AgentOutput = await make_agent().run("[[think Hm]] [[say Well]]")

    thought, text = output.response.blocks
    assert isinstance(thought, ThinkingBlock)
    assert isinstance(text, TextBlock)
    assert (thought.content, text.text) == ("Hm", "Well")
    assert (letta(output)["agent_id"], letta(output)["stop_reason"]) == (agent_id, "end_turn")
    assert [part["kind"] for part in letta(output)["parts"]] == ["Reasoning", "Text"]


async def test_rounds_of_tools_bring_each_message_to_the_server_once(make_agent: MakeAgent, reader: Reader) -> None:
    output: AgentOutput = await make_agent(tools=[add, multiply]).run(IN_SEQUENCE)

    assert str(output) == "It is 3 and 12"
    assert [one.tool_name for one in output.tool_calls] == ["add", "multiply"]
    assert reader.story(conversation_of(output)) == [
        ("user", IN_SEQUENCE),
        ("calls", "add"),
        ("results", "3"),
        ("calls", "multiply"),
        ("results", "12"),
        ("assistant", "It is 3 and 12"),
    ]


async def test_a_context_keeps_the_conversation(make_agent: MakeAgent, reader: Reader) -> None:
    agent = make_agent()
    ctx = Context(agent)

    outputs = [await agent.run(text, ctx=ctx) for text in ("one", "two", "two", "three")]

    assert len({conversation_of(output) for output in outputs}) == 1
    assert reader.story(conversation_of(outputs[0])) == said("one", "two", "two", "three")


async def test_a_context_that_was_saved_goes_on(make_agent: MakeAgent, reader: Reader) -> None:
    agent = make_agent(tools=[add])
    handler = agent.run(IN_SEQUENCE.replace("multiply", "add"))
    first = await handler
    other = make_agent(tools=[add])

    second = await other.run("two", ctx=restored(other, saved(handler)))

    assert conversation_of(second) == conversation_of(first)
    assert reader.story(conversation_of(first))[-2:] == said("two")
    assert len(set(reader.runs(conversation_of(first)))) == 4


async def test_runs_without_a_context_have_a_conversation_each(make_agent: MakeAgent, reader: Reader) -> None:
    agent = make_agent(tools=[add])
    texts = [f"{ADD} [[next]] [[say {number}]]" for number in range(5)]

    outputs: list[AgentOutput] = list(await asyncio.gather(*(agent.run(text) for text in texts)))

    assert [str(output) for output in outputs] == ["0", "1", "2", "3", "4"]
    assert len({conversation_of(output) for output in outputs}) == 5
    for text, output in zip(texts, outputs, strict=True):
        story = [("user", text), ("calls", "add"), ("results", "3"), ("assistant", str(output))]
        assert reader.story(conversation_of(output)) == story


async def test_with_a_conversation_a_new_context_goes_on_there(
    make_agent: MakeAgent, conversation_id: str, reader: Reader
) -> None:
    for text in ("one", "one", "two"):
        output = await make_agent(conversation_id=conversation_id).run(text)
        assert conversation_of(output) == conversation_id

    assert reader.story(conversation_id) == said("one", "one", "two")


async def test_runs_in_one_conversation_wait_for_each_other(
    make_agent: MakeAgent, conversation_id: str, reader: Reader
) -> None:
    agent = make_agent(conversation_id=conversation_id)

    await asyncio.gather(*(agent.run(text) for text in ("a", "b", "c")))

    story = reader.story(conversation_id)
    assert sorted(line for line in story if line[0] == "user") == [("user", "a"), ("user", "b"), ("user", "c")]
    assert [kind for kind, _ in story] == ["user", "assistant"] * 3


async def test_the_default_conversation_is_one_too(make_agent: MakeAgent, agent_id: str, reader: Reader) -> None:
    agent = make_agent(conversation_id="default")
    await agent.run("one")
    output = await agent.run("two")

    assert conversation_of(output) == "default"
    assert reader.story("default", agent_id=agent_id)[-4:] == said("one", "two")


async def test_a_memory_of_llama_index_is_not_told_again(make_agent: MakeAgent, reader: Reader) -> None:
    agent, memory = make_agent(tools=[add]), ChatMemoryBuffer(token_limit=100_000)

    first = await agent.run(f"{ADD} [[next]] [[say three]]", memory=memory)
    second = await agent.run("two", memory=memory)

    assert conversation_of(second) == conversation_of(first)
    assert reader.story(conversation_of(first))[4:] == said("two")
    roles = [message.role.value for message in memory.get_all()]
    assert roles == ["user", "assistant", "tool", "assistant", "user", "assistant"]


async def test_a_history_from_elsewhere_begins_a_conversation_once(make_agent: MakeAgent, reader: Reader) -> None:
    history = [ChatMessage(role="user", content="I am Ann."), ChatMessage(role="assistant", content="Hello, Ann.")]

    output = await make_agent().run("Who am I?", chat_history=history)

    told = [("user", "I am Ann."), ("assistant", "Hello, Ann."), *said("Who am I?")]
    assert reader.story(conversation_of(output)) == told


async def test_a_history_that_a_browser_hands_back_is_not_told_again(make_agent: MakeAgent, reader: Reader) -> None:
    agent = make_agent()
    handler = agent.run("one")
    first = await handler
    history = [ChatMessage(role="user", content="one"), ChatMessage(role="assistant", content=str(first))]

    output = await agent.run("two", chat_history=history, ctx=handler.ctx)

    assert conversation_of(output) == conversation_of(first)
    assert reader.story(conversation_of(first)) == said("one", "two")


async def test_instructions_are_told_once(make_agent: MakeAgent, reader: Reader) -> None:
    agent = make_agent(system_prompt="Be brief.", tools=[add])
    ctx = Context(agent)
    await agent.run(f"{ADD} [[next]] [[say three]]", ctx=ctx)
    output = await agent.run("two", ctx=ctx)

    story = reader.story(conversation_of(output))
    assert story.count(("system", "Be brief.")) == 1
    assert story[-2:] == said("two")


async def test_the_state_of_a_workflow_is_told_with_the_message(make_agent: MakeAgent, reader: Reader) -> None:
    output = await make_agent(initial_state={"parcels": 2}, tools=[add]).run(f"{ADD} [[next]] [[say three]]")

    (asked, *_rest) = reader.story(conversation_of(output))
    assert asked[0] == "user"
    assert "{'parcels': 2}" in asked[1]
    assert [kind for kind, _ in reader.story(conversation_of(output))] == ["user", "calls", "results", "assistant"]


async def test_images_go_to_the_agent(make_agent: MakeAgent, reader: Reader) -> None:
    message = ChatMessage(
        role="user",
        blocks=[TextBlock(text="What is it?"), ImageBlock(image=PIXEL.encode(), image_mimetype="image/png")],
    )

    output = await make_agent().run(message)

    assert reader.story(conversation_of(output))[0] == ("user", "What is it? <image>")


async def test_what_letta_does_not_take_is_named_before_anything_is_sent(
    make_agent: MakeAgent, agent_id: str, reader: Reader
) -> None:
    message = ChatMessage(role="user", blocks=[TextBlock(text="Listen"), AudioBlock(audio=b"x", format="wav")])

    with pytest.raises(ValueError, match=r"block 1 of message 0 \(user\) is of type 'audio'"):
        await make_agent().run(message)

    assert reader.conversations(agent_id) == []


async def test_a_failed_turn_raises_and_the_next_run_goes_on_where_the_last_good_one_ended(
    make_agent: MakeAgent, reader: Reader
) -> None:
    agent = make_agent()
    ctx = Context(agent)
    first = await agent.run("one", ctx=ctx)

    with pytest.raises(TurnFailed):
        await agent.run("[[fail 500]]", ctx=ctx)
    output = await agent.run("two", ctx=ctx)

    assert conversation_of(output) == conversation_of(first)
    assert reader.story(conversation_of(first)) == said("one", "two")


async def test_a_server_that_is_not_there_is_told(backend: Backend) -> None:
    async with LettaAgent(agent_id="agent-1", base_url=NOWHERE, max_retries=0) as agent:
        with pytest.raises(LettaError, match="Could not reach"):
            await agent.run("Hello")


async def test_it_needs_no_redis(no_redis_backend: Backend) -> None:
    with fresh_agent(no_redis_backend) as agent_id, Reader(no_redis_backend.base_url) as reader:
        agent: Any = LettaAgent(agent_id=agent_id, base_url=no_redis_backend.base_url, tools=[add])
        async with agent:
            handler = agent.run(f"{ADD} [[next]] [[say three]]")
            await until(handler, lambda event: isinstance(event, ToolCall))
            kept = saved(handler)
            first = await handler
            again = await agent.run(ctx=restored(agent, kept))
            await agent.run("two", ctx=handler.ctx)

        assert conversation_of(again) == conversation_of(first)
        told = [("user", f"{ADD} [[next]] [[say three]]"), ("calls", "add"), ("results", "3"), ("assistant", "three")]
        assert reader.story(conversation_of(first)) == [*told, *said("two")]
