"""The two scripted models: the same on the double and behind a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from letta_adapters.testing.eager import CACHED_TOKENS, REASONING_TOKENS
from tests.conftest import Backend, fresh_agent
from tests.contract.build import ADD, answers, result, user
from tests.contract.wire import Wire

pytestmark = pytest.mark.scripted("it is about the scripted models")

QUESTION = "What is 3 + 4?"


@pytest.fixture
def eager_id(wire: Wire, backend: Backend) -> Iterator[str]:
    """A conversation of an agent whose model calls what it is offered."""
    with fresh_agent(backend, model=backend.eager) as agent_id:
        yield wire.new_conversation(agent_id)


def test_the_eager_model_calls_an_offered_tool_unasked_and_answers_its_result(wire: Wire, eager_id: str) -> None:
    turn = wire.post(eager_id, user(QUESTION), client_tools=[ADD])
    assert turn.stop_reasons == ["requires_approval"]
    (call,) = turn.of("approval_request_message")[0]["tool_calls"]
    assert call["arguments"] == '{"a": 3.0, "b": 4.0}'
    assert wire.post(eager_id, answers(result(turn.call_id, "7")), client_tools=[ADD]).text == "The tools answered: 7"


@pytest.mark.parametrize(("streams_tokens", "written"), [(True, None), (False, 0)])
def test_the_tokens_that_the_eager_model_read_from_a_cache_and_thought_are_told(
    wire: Wire, eager_id: str, streams_tokens: bool, written: int | None
) -> None:
    usage = wire.post(eager_id, user(QUESTION), stream_tokens=streams_tokens).usage
    assert (usage["cached_input_tokens"], usage["reasoning_tokens"]) == (CACHED_TOKENS, REASONING_TOKENS)
    assert usage["cache_write_tokens"] == written


def test_without_a_tool_the_eager_model_echoes(wire: Wire, eager_id: str) -> None:
    assert wire.post(eager_id, user(QUESTION)).text == f"You said: {QUESTION}"


def test_a_request_may_name_another_model_than_the_agents(
    wire: Wire, backend: Backend, conversation_id: str, eager_id: str
) -> None:
    called = wire.post(conversation_id, user(QUESTION), client_tools=[ADD], override_model=backend.eager)
    assert called.stop_reasons == ["requires_approval"]
    said = wire.post(eager_id, user(QUESTION), client_tools=[ADD], override_model=backend.handle)
    assert said.text == f"You said: {QUESTION}"
