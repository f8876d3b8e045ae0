"""A turn that is answered in the shapes of Letta Cloud: what is sent again, and what never is."""

from __future__ import annotations

import json

import pytest

from letta_adapters.errors import QuotaExceeded, ServerError, TurnFailed, TurnInterrupted
from letta_adapters.events import Notice, PendingCall
from letta_adapters.steps import TurnPolicy
from tests.cloud.shapes import shapes
from tests.core.frames import DONE, RUN, TEXT, pending, ping, sse, stop, usage
from tests.core.play import JSON, RESET, Answer, forever, listed, new_turn, play, script, stream, told

CALL = (ping(1), pending("call-1", "add", None, 2), pending("call-1", None, "{}", 3))
ENDED = {"id": RUN, "agent_id": "agent-1", "status": "completed", "stop_reason": "end_turn", "background": True}


def shaped(name: str) -> Answer:
    """An answer in one of the shapes."""
    shape = shapes()[name]
    headers = {key.lower(): value for key, value in shape.get("headers", {}).items()}
    return Answer(status=shape["status"], headers={**JSON, **headers}, chunks=(json.dumps(shape["body"]).encode(),))


@pytest.mark.parametrize("background", [True, False])
def test_what_a_deployment_did_not_take_is_sent_again_after_the_time_that_it_names(background: bool) -> None:
    played = play(new_turn(background=background), script(shaped("shutting_down"), stream(*TEXT)))
    assert played.turn.stop_reason == "end_turn"
    assert played.waits == [1.0]
    assert played.requests[0] == played.requests[1]


def test_what_a_deployment_may_have_taken_is_not_sent_again_where_nothing_dedupes() -> None:
    reading = [listed(), listed()]
    played = play(new_turn(background=False), forever(shaped("shutting_down_admitted"), *reading, last=listed()))
    assert isinstance(played.failure, ServerError | TurnInterrupted)
    assert played.failure.accepted is None
    assert [sent.method for sent in played.requests].count("POST") == 1


def test_a_deployment_that_does_not_end_leaves_a_turn_that_was_not_taken() -> None:
    played = play(new_turn(policy=TurnPolicy(max_retries=2)), forever(last=shaped("shutting_down")))
    assert isinstance(played.failure, ServerError)
    assert played.failure.accepted is False
    assert len(played.requests) == 3


def test_a_deployment_between_two_connections_is_waited_for_and_the_run_goes_on() -> None:
    played = play(new_turn(), script(stream(*TEXT[:2], end=RESET), shaped("shutting_down"), stream(*TEXT[2:])))
    assert played.turn.stop_reason == "end_turn"
    assert [sent.path.rpartition("/")[2] for sent in played.requests] == ["messages", "stream", "stream"]


@pytest.mark.parametrize("name", ["usage_exceeded", "quota_exceeded", "no_credits", "agents_limit"])
def test_what_is_over_quota_is_sent_once(name: str) -> None:
    played = play(new_turn(), script(shaped(name)))
    assert isinstance(played.failure, QuotaExceeded)
    assert played.failure.accepted is False
    assert played.waits == []


def test_too_many_requests_at_once_are_tried_again() -> None:
    played = play(new_turn(), script(shaped("too_many_requests"), stream(*TEXT)))
    assert len(played.waits) == 1
    assert played.turn.stop_reason == "end_turn"


def test_a_quota_that_is_used_up_between_two_connections_does_not_lose_the_turn() -> None:
    rows = [{"message_type": "user_message", "id": "message-0", "otid": "otid-1", "content": "Hi", "run_id": RUN}]
    answer = {"message_type": "assistant_message", "id": "message-1", "otid": "o-1", "content": "whole", "run_id": RUN}
    cut = stream(ping(1), end=RESET)
    played = play(new_turn(), forever(cut, shaped("quota_exceeded"), told(ENDED), listed(*rows, answer), last=listed()))
    assert played.turn.text == "whole"
    assert [sent.path.rpartition("/")[2] for sent in played.requests[:2]] == ["messages", "stream"]
    assert [sent.method for sent in played.requests[2:]].count("POST") == 0


def test_an_edge_that_gave_up_is_asked_for_the_same_turn() -> None:
    played = play(new_turn(), script(shaped("edge_timeout"), stream(*TEXT)))
    assert played.turn.stop_reason == "end_turn"
    assert played.requests[0] == played.requests[1]


def test_a_run_that_a_deployment_ended_is_told_as_failed_and_never_repeated() -> None:
    interrupted = sse(shapes()["deployment_interrupted"]["body"])
    played = play(new_turn(), script(stream(ping(1), interrupted, stop("error"), DONE)))
    failure = played.failure
    assert isinstance(failure, TurnFailed)
    assert (failure.run_id, failure.accepted, failure.error_type) == (RUN, None, "internal_error")
    assert len(played.requests) == 1


@pytest.mark.parametrize("number", [{"run_id": RUN, "seq_id": 4}, {}], ids=["numbered", "not numbered"])
def test_the_mark_behind_a_call_tells_nothing(number: dict[str, object]) -> None:
    mark = sse({**shapes()["response_state"]["body"], **number})
    played = play(new_turn(), script(stream(*CALL, stop("requires_approval"), mark, usage(), DONE)))
    assert [type(part) for part in played.turn.parts] == [PendingCall]
    assert not any(isinstance(event, Notice) for event in played.events)


def test_a_mark_without_a_number_does_not_keep_a_cut_turn_from_going_on() -> None:
    mark = sse(shapes()["response_state"]["body"])
    first = stream(*CALL[:2], mark, end=RESET)
    played = play(new_turn(), script(first, stream(*CALL[2:], stop("requires_approval"), usage(), DONE)))
    (call,) = played.turn.parts
    assert isinstance(call, PendingCall)
    assert call.arguments == "{}"
    assert [sent.path.rpartition("/")[2] for sent in played.requests] == ["messages", "stream"]
