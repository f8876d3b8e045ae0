"""Messages and answers: what is sent, once, and what comes back."""

from __future__ import annotations

import base64
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from letta_client import Letta
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock, ThinkingBlock
from llama_index.core.chat_engine.types import AgentChatResponse, BaseChatEngine, StreamingAgentChatResponse

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.errors import ConnectFailed, NotFound, TurnFailed
from llama_index_letta import LettaChatEngine
from llama_index_letta.options import EngineOptions, GivenOptions
from tests.conftest import NOWHERE, Backend, fresh_agent, fresh_conversation
from tests.langchain.cutting import cutting_async_client, cutting_client
from tests.langchain.readback import Reader
from tests.llama_index.support import (
    PIXEL,
    Ask,
    MakeEngine,
    by_achat,
    by_astream,
    by_stream,
    conversation_of,
    each_way,
    metadata_of,
    said,
)


@each_way
async def test_an_engine_makes_one_conversation_and_sends_each_message_once(
    ask: Ask, engine: LettaChatEngine, agent_id: str, reader: Reader
) -> None:
    assert engine.conversation_id is None
    assert str(await ask(engine, "one")) == "You said: one"
    assert str(await ask(engine, "two")) == "You said: two"
    assert reader.story(conversation_of(engine)) == said("one", "two")
    assert reader.conversations(agent_id) == [engine.conversation_id]
    assert len(set(reader.runs(conversation_of(engine)))) == 2


@each_way
async def test_the_server_remembers_what_was_said(ask: Ask, engine: LettaChatEngine) -> None:
    await ask(engine, "My name is Ann.")
    assert "user: My name is Ann." in str(await ask(engine, "[[recall]]"))


@each_way
async def test_a_response_tells_ids_the_end_and_the_tokens(
    ask: Ask, engine: LettaChatEngine, agent_id: str, reader: Reader
) -> None:
    metadata = metadata_of(await ask(engine, "hello"))
    rows = reader.rows(conversation_of(engine))
    assert (metadata["agent_id"], metadata["conversation_id"]) == (agent_id, engine.conversation_id)
    assert metadata["run_ids"] == [metadata["run_id"]] == reader.runs(conversation_of(engine))
    assert metadata["message_ids"] == [rows[-1]["id"]]
    assert (metadata["stop_reason"], metadata["step_count"]) == ("end_turn", 1)
    assert (metadata["usage"]["prompt_tokens"], metadata["usage"]["completion_tokens"]) == (100, 20)


@each_way
async def test_the_message_keeps_its_blocks(ask: Ask, engine: LettaChatEngine) -> None:
    message = (await ask(engine, "[[think hm, well]] [[say hello]]")).message
    assert message.role is MessageRole.ASSISTANT
    assert message.blocks == [ThinkingBlock(content="hm, well"), TextBlock(text="hello")]
    assert not message.additional_kwargs.get("tool_calls")


@pytest.mark.parametrize(
    "message",
    [
        "look",
        ChatMessage(content="look"),
        ChatMessage(blocks=[TextBlock(text="look")]),
        [TextBlock(text="look")],
    ],
    ids=["text", "message", "blocks of a message", "blocks"],
)
async def test_a_message_is_a_text_a_message_or_blocks(message: str, engine: LettaChatEngine, reader: Reader) -> None:
    assert str(await engine.achat(message)) == "You said: look"
    assert reader.story(conversation_of(engine)) == said("look")


@each_way
async def test_images_go_in(ask: Ask, engine: LettaChatEngine, reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "pixel.png"
    path.write_bytes(base64.b64decode(PIXEL))
    images = [ImageBlock(image=base64.b64decode(PIXEL)), ImageBlock(path=path)]
    await ask(engine, [TextBlock(text="two of them"), *images])
    sent = reader.rows(conversation_of(engine))[0]["content"]
    assert [part["type"] for part in sent] == ["text", "image", "image"]


def test_a_conversation_goes_on_where_it_was_left(
    backend: Backend, agent_id: str, make_engine: MakeEngine, reader: Reader
) -> None:
    first = make_engine()
    first.chat("one")
    code = f"""
from llama_index_letta import LettaChatEngine
from llama_index_letta.options import EngineOptions, GivenOptions
with LettaChatEngine.from_defaults(conversation_id={first.conversation_id!r}, base_url={backend.base_url!r}) as engine:
    print(engine.chat("[[recall]]"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert done.stderr == ""
    assert "user: one" in done.stdout
    assert [kind for kind, _ in reader.story(conversation_of(first))] == ["user", "assistant"] * 2


def test_engines_share_connections_and_not_conversations(
    make_engine: MakeEngine, backend: Backend, agent_id: str, reader: Reader
) -> None:
    engine = make_engine()
    other = engine.for_conversation(fresh_conversation(backend, agent_id))
    third = engine.for_conversation(None)
    engine.chat("one")
    engine.close()
    other.chat("two")
    third.chat("three")
    for one, text in ((engine, "one"), (other, "two"), (third, "three")):
        assert reader.story(conversation_of(one)) == said(text)
    other.close()
    third.close()


@each_way
async def test_a_conversation_is_of_its_own_agent_and_not_of_the_environments(
    ask: Ask, backend: Backend, agent_id: str, conversation_id: str, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_agent(backend) as another:
        monkeypatch.setenv("LETTA_AGENT_ID", another)
        engine = LettaChatEngine.from_defaults(conversation_id=conversation_id, base_url=backend.base_url)
        beside = engine.for_conversation(None)
        response = await ask(beside, "beside")
        assert metadata_of(response)["agent_id"] == beside.agent_id == agent_id
        response = await ask(engine, "hello")
        assert metadata_of(response)["agent_id"] == engine.agent_id == agent_id
        assert reader.conversations(another) == []
    assert set(reader.conversations(agent_id)) == {conversation_id, beside.conversation_id}
    for one in (engine, beside):
        await one.aclose()


def test_an_engine_for_a_conversation_of_another_agent_is_that_agents(
    make_engine: MakeEngine, backend: Backend
) -> None:
    engine = make_engine()
    with fresh_agent(backend) as another, engine.for_conversation(fresh_conversation(backend, another)) as other:
        assert metadata_of(other.chat("hello"))["agent_id"] == another
        other.reset()
        assert other.agent_id == another
    unknown = make_engine(agent_id=None, conversation_id=conversation_of(other))
    with pytest.raises(ValueError, match="needs an `agent_id`"):
        unknown.for_conversation("default")


@each_way
async def test_the_default_conversation_of_an_agent_can_be_talked_to(
    ask: Ask, make_engine: MakeEngine, agent_id: str, reader: Reader
) -> None:
    engine = make_engine(conversation_id="default")
    await ask(engine, "hello")
    assert reader.story("default", agent_id=agent_id) == said("hello")
    assert [message.content for message in await engine.aget_history()] == ["hello", "You said: hello"]


async def test_clients_of_the_callers_own_are_used_and_stay_open(backend: Backend, agent_id: str) -> None:
    async with AsyncLettaClient(base_url=backend.base_url) as async_client:
        with LettaClient(base_url=backend.base_url) as client:
            engine = LettaChatEngine.from_defaults(agent_id=agent_id, client=client, async_client=async_client)
            assert str(engine.chat("one")) == "You said: one"
            assert str(await engine.achat("two")) == "You said: two"
            await engine.aclose()
            assert client.agents.retrieve(agent_id).id == agent_id
            assert (await async_client.agents.retrieve(agent_id)).id == agent_id


def test_a_client_of_the_official_sdk_names_the_server(backend: Backend, agent_id: str) -> None:
    with Letta(base_url=backend.base_url, api_key="a key") as letta:
        engine = LettaChatEngine.from_defaults(agent_id=agent_id, letta_client=letta)
    with engine:
        assert str(engine.chat("one")) == "You said: one"


# What is wrong is told, before anything is sent where that can be.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"agent_id": None}, "`agent_id` .*or `conversation_id`"),
        ({"agent_id": "x"}, "agent_id"),
        ({"conversation_id": "x"}, "conversation_id"),
        ({"on_abandon": "stay"}, "on_abandon"),
        ({"on_pending_approval": "deny_all"}, "on_pending_approval"),
        ({"history_policy": "fork"}, "history_policy"),
        ({"max_tool_rounds": 0}, "max_tool_rounds"),
        ({"tool_timeout": 0}, "tool_timeout"),
        ({"busy_timeout": -1}, "busy_timeout"),
        ({"base_url": "localhost"}, "base_url"),
        ({"ask_for": "all"}, "on_approval"),
    ],
    ids=str,
)
def test_a_mistake_is_told_when_the_engine_is_made(options: dict[str, object], told: str) -> None:
    arguments = {"agent_id": "agent-1", "base_url": NOWHERE, **options}
    with pytest.raises(ValueError, match=told):
        LettaChatEngine.from_defaults(**arguments)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"colour": "red"}, r"A LettaChatEngine has no option 'colour'\.$"),
        ({"systm_prompt": "Be brief."}, "'systm_prompt'. Did you mean `override_system`?"),
        ({"tool": []}, "'tool'. Did you mean `tools`?"),
        ({"on_approval": True}, "`on_approval` must be a function, not True"),
    ],
    ids=str,
)
def test_an_option_that_is_none_is_refused_by_name(options: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        LettaChatEngine.from_defaults(agent_id="agent-1", base_url=NOWHERE, **options)


@pytest.mark.parametrize(("given", "named"), [((), {}), (("agent-1",), {}), ((), {"agent_id": "agent-1"})])
def test_an_engine_that_is_made_by_its_class_is_told_how(given: Any, named: Any) -> None:
    with pytest.raises(TypeError, match=r"made by `LettaChatEngine.from_defaults\(agent_id=…\)`"):
        LettaChatEngine(*given, **named)


def test_type_checkers_know_each_option_of_an_engine_with_its_type() -> None:
    known = get_type_hints(EngineOptions)
    del known["busy_timeout"]  # a parameter of its own
    assert get_type_hints(GivenOptions) == known


@pytest.mark.parametrize("message", ["a\ud800b", ChatMessage("a\ud800b"), [TextBlock(text="a\ud800b")]], ids=ascii)
@each_way
async def test_half_a_character_is_sent_as_one_that_stands_for_it(
    ask: Ask, message: str, engine: LettaChatEngine, reader: Reader
) -> None:
    await ask(engine, message)
    assert reader.story(conversation_of(engine))[0] == ("user", "a\ufffdb")


@pytest.mark.parametrize("message", ["", [], ChatMessage(), ChatMessage(content=ChatMessage(content="inner"))], ids=str)
async def test_an_empty_message_is_refused(message: str, engine: LettaChatEngine) -> None:
    for ask in (by_achat, by_stream):
        with pytest.raises(ValueError, match="nothing to send"):
            await ask(engine, message)
    assert engine.conversation_id is None


def test_only_what_a_user_says_can_be_sent(engine: LettaChatEngine) -> None:
    with pytest.raises(ValueError, match="'assistant'"):
        engine.chat(ChatMessage(role="assistant", content="hello"))
    with pytest.raises(TypeError, match="int"):
        engine.chat(3)  # pyright: ignore[reportArgumentType]
    assert engine.conversation_id is None


@each_way
async def test_a_server_that_is_not_there_is_told_at_once(ask: Ask, agent_id: str) -> None:
    engine = LettaChatEngine.from_defaults(agent_id=agent_id, base_url=NOWHERE, max_retries=0)
    with pytest.raises(ConnectFailed, match="Could not reach"):
        await ask(engine, "hello")


@pytest.mark.parametrize("ask", [by_stream, by_astream], ids=["stream", "astream"])
async def test_a_stream_that_cannot_begin_raises_before_it_is_handed_out(ask: Ask, make_engine: MakeEngine) -> None:
    engine = make_engine(conversation_id="conv-00000000-0000-4000-8000-000000000000")
    with pytest.raises(NotFound):
        await (engine.astream_chat("hello") if ask is by_astream else _in_no_loop(engine))


async def _in_no_loop(engine: LettaChatEngine) -> object:
    return engine.stream_chat("hello")


@each_way
async def test_a_turn_that_the_server_gives_up_raises_with_its_ids(ask: Ask, engine: LettaChatEngine) -> None:
    with pytest.raises(TurnFailed) as raised:
        await ask(engine, "[[fail 500]]")
    assert raised.value.conversation_id == engine.conversation_id
    assert raised.value.run_id


async def test_streams_that_are_cut_cost_nothing(make_engine: MakeEngine, reader: Reader) -> None:
    with cutting_client() as http:
        async with cutting_async_client() as async_http:
            engine = make_engine(http_client=http, http_async_client=async_http)
            assert str(engine.chat("one")) == "You said: one"
            assert str(await by_astream(engine, "two")) == "You said: two"
            await engine.aclose()
    assert reader.story(conversation_of(engine)) == said("one", "two")


# The argument `chat_history`.


@each_way
@pytest.mark.parametrize("history", [None, []])
async def test_no_history_is_no_matter(
    ask: Ask, history: list[ChatMessage] | None, engine: LettaChatEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await ask(engine, "one")
    engine.chat("two", chat_history=history)
    assert [one.content for one in engine.chat_history][::2] == ["one", "two"]
    assert caplog.messages == []


async def test_a_history_is_not_sent_and_that_is_told_once(
    engine: LettaChatEngine, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    history = [ChatMessage(content="before"), ChatMessage(role="assistant", content="yes")]
    with caplog.at_level(logging.WARNING, "llama_index_letta"):
        engine.chat("one", history)
        await engine.achat("two", chat_history=history)
        engine.stream_chat("three", history).result()
        await (await engine.astream_chat("four", history)).aresult()
    assert reader.story(conversation_of(engine)) == said("one", "two", "three", "four")
    (warning,) = caplog.messages
    assert "2 messages" in warning


def test_or_it_is_an_error(make_engine: MakeEngine) -> None:
    engine = make_engine(history_policy="error")
    with pytest.raises(ValueError, match="chat_history"):
        engine.chat("one", [ChatMessage(content="before")])
    assert engine.conversation_id is None


# What LlamaIndex expects of it.


def test_it_is_what_llama_index_expects(engine: LettaChatEngine) -> None:
    assert "BaseChatEngine" in [kind.__name__ for kind in LettaChatEngine.__mro__]
    assert isinstance(engine, BaseChatEngine)
    assert isinstance(engine.chat("one"), AgentChatResponse)
    response = engine.stream_chat("two")
    assert isinstance(response, StreamingAgentChatResponse)
    assert response.result().response == "You said: two"


def test_a_closed_engine_says_so(make_engine: MakeEngine) -> None:
    with make_engine() as engine:
        engine.chat("one")
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.chat("two")
    with pytest.raises(RuntimeError, match="closed"):
        engine.reset()


async def test_so_does_one_that_a_task_closed(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await engine.achat("one")
    with pytest.raises(RuntimeError, match="closed"):
        await engine.achat("two")


def test_a_key_is_in_no_repr(make_engine: MakeEngine) -> None:
    engine = make_engine(api_key="sk-secret-thing")
    assert "sk-secret" not in repr(engine) + str(vars(engine)) + repr(vars(engine._turns.connections))  # pyright: ignore[reportPrivateUsage]
