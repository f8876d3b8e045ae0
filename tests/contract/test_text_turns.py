"""A turn that is only text, as it is streamed and as it is stored."""

from __future__ import annotations

import pytest

from tests.contract.build import PIXEL, new_otid, user
from tests.contract.wire import Wire, otid_of

SAY = "[[say Hello there friend]]"
THINK = "[[think let me see]] [[say Hello there friend]]"


@pytest.mark.scripted("its model thinks when it is told to")
def test_in_step_mode_each_message_comes_whole(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(THINK))
    assert turn.status == 200
    assert turn.types == ["reasoning_message", "assistant_message", "stop_reason", "usage_statistics"]
    assert [p.get("reasoning", p.get("content")) for p in turn.parts] == ["let me see", "Hello there friend"]
    assert turn.stop_reasons == ["end_turn"]
    assert turn.done


@pytest.mark.scripted("its model thinks when it is told to")
def test_in_token_mode_each_frame_is_one_delta(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(THINK), stream_tokens=True)
    assert turn.types == ["reasoning_message"] * 3 + ["assistant_message"] * 3 + ["stop_reason", "usage_statistics"]
    assert [p["reasoning"] for p in turn.of("reasoning_message")] == ["let ", "me ", "see"]
    assert [p["content"] for p in turn.of("assistant_message")] == ["Hello ", "there ", "friend"]
    assert turn.done


@pytest.mark.scripted("its model thinks when it is told to")
def test_frames_of_a_step_share_the_id_and_each_part_has_its_otid(wire: Wire, conversation_id: str) -> None:
    for tokens in (False, True):
        turn = wire.post(conversation_id, user(THINK), stream_tokens=tokens)
        (message_id,) = {p["id"] for p in turn.parts}
        assert {p["otid"] for p in turn.of("reasoning_message")} == {otid_of(message_id, 0)}
        assert {p["otid"] for p in turn.of("assistant_message")} == {otid_of(message_id, 1)}


@pytest.mark.scripted("its model thinks when it is told to")
def test_reasoning_says_where_it_comes_from(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(THINK), stream_tokens=True)
    assert {p["source"] for p in turn.of("reasoning_message")} == {"reasoner_model"}


@pytest.mark.scripted("it counts the tokens of the scripted model")
@pytest.mark.parametrize(("tokens", "unknown"), [(False, 0), (True, None)])
def test_usage_counts_one_step(wire: Wire, conversation_id: str, tokens: bool, unknown: int | None) -> None:
    usage = wire.post(conversation_id, user(SAY), stream_tokens=tokens).usage
    assert usage == {
        "message_type": "usage_statistics",
        "completion_tokens": 20,
        "prompt_tokens": 100,
        "total_tokens": 120,
        "step_count": 1,
        "run_ids": None,
        "cached_input_tokens": unknown,
        "cache_write_tokens": unknown,
        "reasoning_tokens": unknown,
        "context_tokens": 120,
    }


def test_a_foreground_stream_begins_with_a_ping_and_has_no_seq_ids(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(SAY), stream_tokens=True)
    assert turn.frames[0]["message_type"] == "ping"
    assert turn.frames[0]["run_id"] == turn.run_id
    assert [p.get("seq_id") for p in turn.parts] == [None] * 3


@pytest.mark.scripted("its model thinks when it is told to")
def test_a_background_stream_numbers_its_messages_from_the_ping_on(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(THINK), stream_tokens=True, background=True)
    assert turn.frames[0]["message_type"] == "ping"
    assert turn.frames[0]["seq_id"] == 1
    assert [p["seq_id"] for p in turn.parts] == [2, 3, 4, 5, 6, 7]
    assert "seq_id" not in turn.of("stop_reason")[0]
    assert "seq_id" not in turn.usage


def test_without_pings_the_numbers_still_begin_at_one(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(SAY), background=True, include_pings=False)
    assert turn.of("ping") == []
    assert [p["seq_id"] for p in turn.parts] == [1]


def test_a_type_filter_lets_pings_and_the_end_through(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(THINK), include_return_message_types=["assistant_message"])
    assert turn.frames[0]["message_type"] == "ping"
    assert turn.types == ["assistant_message", "stop_reason", "usage_statistics"]


def test_no_frame_has_an_event_name(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(THINK), stream_tokens=True, background=True)
    assert set(turn.events) == {""}


@pytest.mark.scripted("its model thinks when it is told to")
def test_a_turn_is_stored_as_it_was_streamed(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    turn = wire.post(conversation_id, user(THINK, otid), stream_tokens=True, background=True)
    asked, thought, answered = wire.stored(conversation_id)
    assert (asked["message_type"], asked["content"], asked["otid"]) == ("user_message", THINK, otid)
    assert (thought["message_type"], thought["reasoning"]) == ("reasoning_message", "let me see")
    assert (answered["message_type"], answered["content"]) == ("assistant_message", "Hello there friend")
    assert {thought["id"], answered["id"]} == {p["id"] for p in turn.parts}
    assert thought["otid"] == turn.of("reasoning_message")[0]["otid"]
    assert answered["otid"] == turn.of("assistant_message")[0]["otid"]


@pytest.mark.scripted("its model says what it sees")
def test_the_next_turn_sees_the_one_before(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    turn = wire.post(conversation_id, user("[[recall]] second"))
    assert turn.text == "user: first\nassistant: one\nuser: second"


@pytest.mark.scripted("its model says what it sees")
def test_several_user_messages_of_a_request_get_one_answer(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("first"), user("[[recall]] second"))
    assert turn.text == "user: first\nuser: second"
    assert turn.usage["step_count"] == 1
    assert [kind for kind, _ in wire.story(conversation_id)] == ["user_message", "user_message", "assistant_message"]


@pytest.mark.scripted("its model says what it sees")
def test_input_is_short_for_one_user_message(wire: Wire, conversation_id: str) -> None:
    turn = wire.post_body(conversation_id, {"input": "[[recall]] plain text"})
    assert turn.text == "user: plain text"
    assert wire.story(conversation_id)[0] == ("user_message", "[[recall]] plain text")


def test_a_text_and_an_image_come_back_as_two_parts(wire: Wire, conversation_id: str) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    turn = wire.post(conversation_id, user([{"type": "text", "text": "look [[say seen]]"}, image]))
    assert turn.text == "seen"
    asked = wire.stored(conversation_id)[0]
    text, picture = asked["content"]
    assert text["text"] == "look [[say seen]]"
    assert picture["type"] == "image"
    assert picture["source"]["type"] == "letta"
    assert picture["source"]["file_id"]
