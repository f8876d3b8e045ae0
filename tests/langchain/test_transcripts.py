"""What of a transcript is sent: seeds, foreign turns, tails, anchors that travelled, pictures."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)

from langchain_letta import ChatLetta
from tests.conftest import Backend, fresh_agent, fresh_conversation
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, PIXEL, TOOLS, Ask, blocking_and_async, conversation_of, human, letta, said

FOREIGN_CALL: Any = {"name": "find", "args": {"what": "tea"}, "id": "abc123", "type": "tool_call"}


def few_shot() -> list[BaseMessage]:
    return [
        HumanMessage("2 + 2?"),
        AIMessage("four"),
        HumanMessage("3 + 3?"),
        AIMessage("six", name="calculator"),
        HumanMessage("[[recall]] 4 + 4?"),
    ]


@blocking_and_async
async def test_a_followed_transcript_without_an_anchor_is_seeded(ask: Ask, model: ChatLetta, reader: Reader) -> None:
    answer = await ask(model, few_shot())
    assert answer.text == "user: 2 + 2?\nassistant: four\nuser: 3 + 3?\nassistant: six\nuser: 4 + 4?"
    assert reader.story(conversation_of(answer)) == story_of([*few_shot(), answer])


def test_of_a_seeded_transcript_only_the_tail_is_sent_next(model: ChatLetta, reader: Reader) -> None:
    transcript = [*few_shot(), model.invoke(few_shot()), HumanMessage("thanks")]
    answer = model.invoke(transcript)
    assert reader.story(conversation_of(answer)) == story_of([*transcript, answer])


def foreign_tools() -> list[BaseMessage]:
    return [
        HumanMessage("find tea"),
        AIMessage("I look.", tool_calls=[FOREIGN_CALL]),
        ToolMessage("green tea", tool_call_id="abc123"),
        AIMessage("Found green tea."),
        HumanMessage("thanks"),
    ]


def test_a_foreign_tool_history_is_told_as_text(model: ChatLetta, reader: Reader) -> None:
    answer = model.invoke(foreign_tools())
    assert reader.story(conversation_of(answer)) == [
        ("user", "find tea"),
        ("assistant", "I look."),
        ("user", '[assistant called the tools: find({"what": "tea"})]'),
        ("user", "[The tool find answered: green tea]"),
        ("assistant", "Found green tea."),
        *said("thanks"),
    ]


def test_a_foreign_tool_history_that_ends_with_its_result_is_answered(model: ChatLetta, reader: Reader) -> None:
    transcript = foreign_tools()[:3]
    transcript[2] = ToolMessage("no tea", tool_call_id="abc123", status="error")
    answer = model.invoke(transcript)
    assert answer.text == "You said: [The tool find failed with: no tea]"
    assert reader.story(conversation_of(answer))[-2] == ("user", "[The tool find failed with: no tea]")


def test_a_pinned_model_sends_a_foreign_tool_result_as_text(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    pinned.invoke(foreign_tools()[:3])
    assert ("user", "[The tool find answered: green tea]") in reader.story(conversation_id)


def test_a_pinned_model_answers_a_call_whose_anchor_was_lost(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    bound, asked = pinned.bind_tools(TOOLS), HumanMessage(CALL)
    call = bound.invoke([asked]).model_copy(update={"response_metadata": {}, "id": None})
    result = ToolMessage("3", tool_call_id=call.tool_calls[0]["id"] or "")
    answer = bound.invoke([asked, call, result])
    assert answer.text == "The tools answered: 3"
    assert reader.story(conversation_id) == story_of([asked, call, result, answer])


def test_a_fallback_models_turn_in_the_tail_is_told(model: ChatLetta, reader: Reader) -> None:
    transcript: list[BaseMessage] = [human("hello")]
    transcript += [model.invoke(transcript), human("again"), AIMessage("from the fallback"), human("and now?")]
    answer = model.invoke(transcript)
    assert reader.story(conversation_of(answer)) == story_of([*transcript, answer])


def test_a_foreign_turn_that_ends_the_transcript_is_told_as_text(model: ChatLetta, reader: Reader) -> None:
    answer = model.invoke([HumanMessage("hello"), AIMessage("I am Bob.", name="bob")])
    assert answer.text == "You said: [bob said: I am Bob.]"
    assert reader.story(conversation_of(answer))[:2] == [("user", "hello"), ("user", "[bob said: I am Bob.]")]


def test_a_pinned_model_sends_what_follows_the_last_answer(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    pinned.invoke("one")
    pinned.invoke([HumanMessage("one"), AIMessage("You said: one"), HumanMessage("two")])  # as if through a form
    assert reader.story(conversation_id) == said("one", "two")


def through_json(messages: list[BaseMessage]) -> list[BaseMessage]:
    return messages_from_dict(json.loads(json.dumps(messages_to_dict(messages))))


def through_model_json(messages: list[BaseMessage]) -> list[BaseMessage]:
    return [type(message).model_validate_json(message.model_dump_json()) for message in messages]


@pytest.mark.parametrize("travel", [through_json, through_model_json])
def test_an_anchor_survives_json(travel: Any, model: ChatLetta, reader: Reader) -> None:
    transcript: list[BaseMessage] = [human("one")]
    transcript += [model.invoke(transcript), human("two")]
    answer = model.invoke(travel(transcript))
    assert reader.story(conversation_of(answer)) == said("one", "two")


def test_pending_calls_survive_json(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    transcript: list[BaseMessage] = [human(CALL)]
    transcript.append(bound.invoke(transcript))
    transcript.append(ToolMessage("3", tool_call_id=letta(transcript[1])["pending"][0]["tool_call_id"]))
    answer = bound.invoke(through_json(transcript))
    assert answer.text == "The tools answered: 3"
    assert reader.story(conversation_of(answer)) == story_of([*transcript, answer])


def test_two_agents_in_one_transcript_each_hear_the_other(backend: Backend, model: ChatLetta, reader: Reader) -> None:
    with fresh_agent(backend) as other_id:
        other = ChatLetta(agent_id=other_id, base_url=backend.base_url)
        transcript: list[BaseMessage] = []
        for speaker in (model, other, model, other):
            transcript.append(human(f"turn {len(transcript)}"))
            transcript.append(speaker.invoke(transcript))
        for index in (-1, -2):
            conversation = conversation_of(transcript[2 * index + 1])
            seen = transcript if index == -1 else transcript[:6]
            assert reader.story(conversation) == story_of(seen)


def test_two_pinned_agents_in_one_transcript_each_hear_the_other(
    backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    with fresh_agent(backend) as other_id:
        conversation = fresh_conversation(backend, other_id)
        other = ChatLetta(conversation_id=conversation, agent_id=other_id, base_url=backend.base_url)
        transcript: list[BaseMessage] = [human("one")]
        transcript += [pinned.invoke(transcript), human("two")]
        transcript.append(other.invoke(transcript))
        assert reader.story(conversation) == story_of(transcript)
    assert reader.story(conversation_id) == said("one")


def test_an_answer_of_another_conversation_of_the_agent_is_a_foreign_turn(
    backend: Backend, agent_id: str, pinned: ChatLetta, reader: Reader
) -> None:
    transcript: list[BaseMessage] = [human("one")]
    transcript += [pinned.invoke(transcript), human("two")]
    second = fresh_conversation(backend, agent_id)
    transcript.append(ChatLetta(conversation_id=second, base_url=backend.base_url).invoke(transcript))
    assert reader.story(second) == story_of(transcript)


def test_a_call_that_waits_in_another_conversation_is_not_answered_here(
    backend: Backend, agent_id: str, pinned: ChatLetta, reader: Reader
) -> None:
    call = pinned.bind_tools(TOOLS).invoke([human(CALL)])
    transcript: list[BaseMessage] = [human(CALL), call, ToolMessage("3", tool_call_id=call.tool_calls[0]["id"] or "")]
    second = fresh_conversation(backend, agent_id)
    ChatLetta(conversation_id=second, base_url=backend.base_url).invoke([*transcript, human("and?")])
    assert ("user", "[The tool add answered: 3]") in reader.story(second)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": PIXEL, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ],
    ids=["standard", "v0", "openai", "anthropic"],
)
def test_a_picture_in_base64_is_sent(part: dict[str, Any], model: ChatLetta, reader: Reader) -> None:
    message = HumanMessage(content=[{"type": "text", "text": "[[say a dot]] look"}, cast("Any", part)])
    answer = model.invoke([message])
    asked, _ = reader.rows(conversation_of(answer))
    text, image = asked["content"]
    assert (text["text"], image["type"]) == ("[[say a dot]] look", "image")
    assert (image["source"]["media_type"], image["source"]["data"]) == ("image/png", PIXEL)


def test_plain_strings_among_parts_are_text(model: ChatLetta, reader: Reader) -> None:
    answer = model.invoke([HumanMessage(content=["one ", {"type": "text", "text": "two"}])])
    assert reader.story(conversation_of(answer))[0] == ("user", "one  two")


def test_messages_by_role_name_are_sent(model: ChatLetta, reader: Reader) -> None:
    answer = model.invoke(
        [
            ChatMessage(role="user", content="one"),
            ChatMessage(role="assistant", content="two"),
            FunctionMessage(name="find", content="tea"),
            ChatMessage(role="human", content="three"),
        ]
    )
    assert reader.story(conversation_of(answer)) == [
        ("user", "one"),
        ("assistant", "two"),
        ("user", "[The function find answered: tea]"),
        *said("three"),
    ]


def test_a_name_goes_along(model: ChatLetta, reader: Reader) -> None:
    answer = model.invoke([HumanMessage("hello", name="Ann")])
    assert reader.rows(conversation_of(answer))[0]["name"] == "Ann"
