"""Rule 6: nothing new. A forced call is asked for once, by name; no blank turn is ever sent."""

from __future__ import annotations

import logging

import pytest

from letta_adapters.errors import NothingToSend
from letta_adapters.planner import plan
from letta_adapters.policies import Policies
from letta_adapters.transcript import Content, HumanEntry
from tests.planner.dialogue import (
    FOLLOWED,
    PINNED,
    anchor,
    following,
    foreign,
    human,
    newest,
    otids,
    ours,
    replied,
    requested,
    result,
    sent,
    stored,
    system,
    told,
)

ENDED = [human("a"), ours("b")]


def test_an_empty_transcript_is_refused() -> None:
    with pytest.raises(ValueError, match="list of messages is empty"):
        plan([], FOLLOWED)


@pytest.mark.parametrize("content", ["", ()], ids=["text", "parts"])
def test_an_empty_new_message_is_refused_with_its_position(content: Content) -> None:
    with pytest.raises(ValueError, match=r"Message 3 \(human\) is empty"):
        plan([system("s"), human("a"), ours("b"), HumanEntry(content=content)], FOLLOWED)


def test_system_messages_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="only system messages"):
        plan([system("be kind")], FOLLOWED)


def test_a_transcript_that_ends_with_our_own_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing new to send"):
        plan([human("a"), ours("b")], FOLLOWED)


def test_a_changed_system_text_is_reason_enough_to_send() -> None:
    assert sent(plan([system("new"), human("a"), ours("b")], FOLLOWED)) == [("system", "new")]


def test_the_plan_says_what_it_decided() -> None:
    made = plan([human("a"), ours("", "call-1", "call-2"), result("call-1")], FOLLOWED)
    assert made.reasons == ("rule 1: goes on in conv-1 after message-9", "rule 2: 1 results and 1 denials")


def test_the_refusal_says_what_to_do_and_where() -> None:
    with pytest.raises(NothingToSend) as caught:
        plan(ENDED, FOLLOWED)
    assert "leave that answer out" in (caught.value.hint or "")
    assert (caught.value.agent_id, caught.value.conversation_id) == ("agent-1", "conv-1")


def test_a_system_text_that_the_conversation_has_is_no_reason_to_send() -> None:
    with pytest.raises(NothingToSend):
        plan([system("be kind"), human("a"), foreign("b")], PINNED, seen=newest(told("be kind")))


def test_whether_there_is_nothing_to_send_may_have_to_be_read_first() -> None:
    assert plan([system("be kind"), human("a"), foreign("b")], PINNED).reads == "newest"


@pytest.mark.parametrize(
    ("names", "words"), [(("add",), "this tool: add"), (("add", "look"), "one of these tools: add, look")]
)
def test_a_framework_that_forces_a_call_and_asks_again_has_it_asked_for_by_name(
    names: tuple[str, ...], words: str
) -> None:
    made = plan(ENDED, FOLLOWED, must_call=names)
    assert sent(made) == [("user", f"Answer by calling {words}.")]
    assert made.nudged


def test_the_second_time_it_is_an_error_that_names_the_tool() -> None:
    nudged = ours("no", where=anchor(message_id="message-10", nudged=True))
    with pytest.raises(NothingToSend, match="call add and answered in words"):
        plan([*ENDED, nudged], FOLLOWED, must_call=("add",))


def test_a_call_is_not_asked_for_when_there_is_something_to_say() -> None:
    made = plan([*ENDED, human("c")], FOLLOWED, must_call=("add",))
    assert (sent(made), made.nudged) == ([("user", "c")], False)


def test_asking_for_a_call_again_after_a_crash_is_the_same_request() -> None:
    first, again = (requested(plan(ENDED, FOLLOWED, must_call=("add",))) for _ in range(2))
    assert otids(first) == otids(again)


def test_a_call_that_was_asked_for_before_a_crash_is_found_and_not_asked_for_twice() -> None:
    first = plan(ENDED, FOLLOWED, must_call=("add",))
    again = plan(ENDED, FOLLOWED, must_call=("add",), seen=following(*stored(first), replied()))
    assert again.stored_run_id == "run-2"


def test_calls_that_nobody_answered_are_something_to_say() -> None:
    assert sent(plan([human("a"), ours("", "call-1")], FOLLOWED)) == [("approval", [("call-1", "denied")])]


def test_what_a_plan_decides_can_be_read_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="letta_adapters.planner"):
        made = plan([*ENDED, human("c")], FOLLOWED, policies=Policies(), seen=following())
    assert (
        caplog.messages == ["plan: " + "; ".join(made.reasons)] == ["plan: rule 1: goes on in conv-1 after message-9"]
    )
