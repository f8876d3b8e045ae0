"""What a conversation holds as messages of LlamaIndex, and conversations that are left for new ones."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from letta_adapters.errors import NotFound
from letta_adapters.transcript import Anchor
from llama_index_letta import LettaChatEngine, letta_from_llama_index
from llama_index_letta.history import StoredToLlamaIndex
from llama_index_letta.messages import letta_of
from tests.conftest import TIMEOUT, Backend
from tests.langchain.readback import Reader
from tests.langchain.stored import (
    AGENT,
    CONVERSATION,
    Json,
    answered,
    asks,
    assistant,
    call,
    decision,
    packed,
    parsed,
    result,
    returned,
    row,
    system,
    user,
)
from tests.llama_index.support import (
    ADD,
    PIXEL,
    MakeEngine,
    add,
    conversation_of,
    said,
    story_of,
)

MISSING = "conv-00000000-0000-4000-8000-000000000000"


async def read(engine: LettaChatEngine, *, blocking: bool) -> list[ChatMessage]:
    return engine.chat_history if blocking else await engine.aget_history()


both_ways = pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "async"])


def dialogue(engine: LettaChatEngine) -> None:
    """Thoughts, a picture, a tool that runs and one that fails."""
    engine.chat("[[think hm]] [[say hello]]")
    picture = ImageBlock(image=PIXEL.encode(), image_mimetype="image/png")
    engine.chat([TextBlock(text=f"look [[say I add]] {ADD}"), picture])
    engine.chat('[[call add {"a": "x"}]] [[next]] [[say sorry]]')


def translated(rows: list[Json], *, include: Any = None) -> list[ChatMessage]:
    """What rows become, whichever pages they come in: here one row a page."""
    translate = StoredToLlamaIndex(conversation_id=CONVERSATION, agent_id=AGENT, include=include)
    whole = [message for one in parsed(*rows) for message in translate.feed([one])]
    return [*whole, *translate.finish()]


# Of a server.


@both_ways
async def test_a_history_is_what_the_server_holds(blocking: bool, make_engine: MakeEngine, reader: Reader) -> None:
    engine = make_engine(tools=[add])
    dialogue(engine)
    history = await read(engine, blocking=blocking)
    assert reader.story(conversation_of(engine)) == story_of(history)
    assert [message.role.value for message in history] == [
        *["user", "assistant"],
        *["user", "assistant", "tool", "assistant"],
        *["user", "assistant", "tool", "assistant"],
    ]


@both_ways
async def test_nothing_of_it_is_lost(blocking: bool, make_engine: MakeEngine, reader: Reader) -> None:
    engine = make_engine(tools=[add])
    dialogue(engine)
    rows = [row.model_dump(mode="json") for row in letta_from_llama_index(await read(engine, blocking=blocking))]
    listed = reader.rows(conversation_of(engine))
    for key in ("id", "otid", "message_type", "run_id", "step_id"):
        assert [row[key] for row in rows] == [row[key] for row in listed]


def test_messages_have_the_blocks_of_the_answer(make_engine: MakeEngine) -> None:
    engine = make_engine(tools=[add])
    blocks = engine.chat(f"[[think hm]] [[say Let me see]] {ADD} [[next]] [[say It is 3]]").message.blocks
    history = engine.chat_history
    assert [block for message in history if message.role is MessageRole.ASSISTANT for block in message.blocks] == blocks
    (tool,) = [message for message in history if message.role is MessageRole.TOOL]
    assert tool.additional_kwargs["name"] == "add"
    assert tool.additional_kwargs["tool_call_id"] in [getattr(block, "tool_call_id", None) for block in blocks]


def test_the_compiled_prompt_is_given_to_whoever_asks_for_it(engine: LettaChatEngine) -> None:
    engine.chat("hello")
    first, *rest = engine.iter_history(include=["system_message", "user_message"])
    assert first.role is MessageRole.SYSTEM
    assert "They like brevity." in str(first.content)
    assert [message.content for message in rest] == ["hello"]


@both_ways
@pytest.mark.parametrize("page_size", [3, 4, 100])
async def test_every_message_is_read_once_whatever_the_pages(
    page_size: int, blocking: bool, engine: LettaChatEngine
) -> None:
    texts = [f"message {number}" for number in range(5)]
    for text in texts:
        engine.chat(text)
    if blocking:
        history = list(engine.iter_history(page_size=page_size))
    else:
        history = [message async for message in engine.aiter_history(page_size=page_size)]
    assert story_of(history) == said(*texts)


def test_it_is_read_no_further_than_it_is_asked_for(engine: LettaChatEngine) -> None:
    engine.chat("one")
    reading = engine.iter_history()
    assert next(reading).content == "one"


@both_ways
async def test_before_the_first_message_there_is_none(blocking: bool, engine: LettaChatEngine) -> None:
    assert await read(engine, blocking=blocking) == []


@both_ways
async def test_a_conversation_that_is_gone_is_told(blocking: bool, make_engine: MakeEngine) -> None:
    with pytest.raises(NotFound):
        await read(make_engine(conversation_id=MISSING), blocking=blocking)


def test_pages_are_checked(engine: LettaChatEngine) -> None:
    for reading in (engine.iter_history, engine.aiter_history):
        with pytest.raises(ValueError, match="page_size"):
            reading(page_size=2)


def test_a_conversation_that_was_compacted_keeps_its_messages(engine: LettaChatEngine, backend: Backend) -> None:
    for text in ("one", "two"):
        engine.chat(text)
    path = f"/v1/conversations/{engine.conversation_id}/compact"
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.post(path, json={"compaction_settings": {"mode": "all"}}).raise_for_status()
    engine.chat("three")
    told = [line for line in story_of(engine.chat_history) if line[0] != "system"]
    assert told == said("one", "two", "three")


# Of each type there is.

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://x/y"}}


def test_each_stored_type_has_a_place() -> None:
    messages = translated(
        [
            system("Be brief.", "m0"),
            user(
                [{"type": "text", "text": "look"}, {"type": "image", "source": {"type": "url", "url": "https://x/y"}}],
                "m1",
            ),
            row("reasoning_message", "m2", reasoning="hm", source="reasoner_model", signature="s"),
            row("hidden_reasoning_message", "m2", state="redacted", hidden_reasoning="xyz"),
            assistant("Let me see", "m2"),
            asks("m2", call("c1", "search", "{}"), kind="tool_call_message"),
            returned("m3", result("c1", "found"), run="run-1"),
            asks("m4", call("c2"), call("c3", arguments="not json")),
            answered("m5", result("c2", "3"), decision("c3", approve=False, reason="no")),
            returned("m6", result("c2", "3"), run="run-2"),
            assistant("It is 3", "m7", "run-2"),
            row("event_message", "m8", event_type="compaction", event_data={"n": 1}),
            row("summary_message", "m9", summary="They added."),
            packed("More context.", "m10"),
            {"message_type": "citation_message", "id": "m11"},
        ],
        include=None,
    )
    assert [message.role.value for message in messages] == [
        *["user", "assistant", "tool", "assistant", "tool", "tool", "assistant"],
        *["system"] * 4,
    ]
    thought, hidden, text, server_call = messages[1].blocks
    assert thought == ThinkingBlock(content="hm", additional_information={"signature": "s"})
    assert hidden == ThinkingBlock(additional_information={"state": "redacted", "data": "xyz"})
    assert text == TextBlock(text="Let me see")
    assert server_call == ToolCallBlock(tool_call_id="c1", tool_name="search", tool_kwargs={})
    assert [getattr(block, "tool_kwargs", None) for block in messages[3].blocks] == [{"a": 1}, "not json"]
    told = [(message.content, message.additional_kwargs.get("is_error")) for message in messages[4:6]]
    assert told == [("3", None), ("no", True)]
    assert [message.content for message in messages[7:]] == [
        'compaction: {"n": 1}',
        "They added.",
        "More context.",
        None,
    ]


ROWS: list[Json] = [
    user("one", "m1"),
    row("reasoning_message", "m2", reasoning="hm"),
    asks("m2", call("c1"), call("c2")),
    answered("m3", result("c1", "1"), result("c2", "2")),
    returned("m4", result("c1", "1"), result("c2", "2")),
    asks("m5", call("c3"), run="run-2"),
    answered("m6", decision("c3", approve=False)),
    user("two", "m7", "run-3"),
    row("event_message", "m8", event_type="x", event_data={}),
]


def test_rows_are_read_back_whole_and_once() -> None:
    assert [one.model_dump(mode="json", exclude_unset=True) for one in letta_from_llama_index(translated(ROWS))] == ROWS


def test_messages_survive_json() -> None:
    messages = translated(ROWS)
    again = [ChatMessage.model_validate(json.loads(message.model_dump_json())) for message in messages]
    assert again == messages
    assert [one.model_dump(mode="json", exclude_unset=True) for one in letta_from_llama_index(again)] == ROWS


def test_a_step_that_waits_is_an_anchor() -> None:
    message = translated(ROWS)[1]
    anchor = Anchor.from_metadata(letta_of(message))
    assert anchor is not None
    assert (anchor.conversation_id, anchor.message_id) == (CONVERSATION, "message-m2")
    assert [one.tool_call_id for one in anchor.pending] == ["c1", "c2"]


# Conversations that are left.


@both_ways
async def test_a_reset_goes_to_a_new_conversation_and_deletes_nothing(
    blocking: bool, engine: LettaChatEngine, reader: Reader, agent_id: str
) -> None:
    engine.chat("one")
    old = conversation_of(engine)
    if blocking:
        engine.reset()
    else:
        await engine.areset()
    assert engine.conversation_id != old
    assert engine.chat_history == []
    assert "one" not in str(engine.chat("[[recall]]"))
    assert reader.story(old) == said("one")
    assert set(reader.conversations(agent_id)) == {old, conversation_of(engine)}


@both_ways
async def test_the_old_one_is_deleted_where_that_is_asked_for(
    blocking: bool, engine: LettaChatEngine, agent_id: str, reader: Reader
) -> None:
    engine.chat("one")
    if blocking:
        engine.reset(delete=True)
    else:
        await engine.areset(delete=True)
    assert reader.conversations(agent_id) == [engine.conversation_id]
    assert str(engine.chat("two")) == "You said: two"


@both_ways
async def test_before_the_first_message_there_is_nothing_to_leave(
    blocking: bool, engine: LettaChatEngine, agent_id: str, reader: Reader
) -> None:
    if blocking:
        engine.reset(delete=True)
    else:
        await engine.areset(delete=True)
    assert engine.conversation_id is None
    assert reader.conversations(agent_id) == []


def test_the_new_conversation_is_of_the_agent_of_the_old_one(
    backend: Backend, conversation_id: str, agent_id: str
) -> None:
    with LettaChatEngine.from_defaults(conversation_id=conversation_id, base_url=backend.base_url) as engine:
        engine.reset()
        assert (engine.agent_id, engine.conversation_id != conversation_id) == (agent_id, True)


def test_the_default_conversation_is_left_and_not_deleted(make_engine: MakeEngine) -> None:
    engine = make_engine(conversation_id="default")
    with pytest.raises(ValueError, match="part of the agent"):
        engine.reset(delete=True)
    engine.reset()
    assert conversation_of(engine).startswith("conv-")


@pytest.mark.parametrize("repl", ["chat_repl", "streaming_chat_repl"])
@pytest.mark.parametrize("end", ["exit", None], ids=["exit", "end of input"])
def test_talking_in_the_terminal_resets_nothing(
    repl: str,
    end: str | None,
    engine: LettaChatEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine.chat("before")
    typed = iter(["one", "", "two", *([end] if end else [])])

    def type_next(_: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", type_next)
    getattr(engine, repl)()
    assert "Assistant: You said: one\n" in capsys.readouterr().out
    assert story_of(engine.chat_history) == said("before", "one", "two")
