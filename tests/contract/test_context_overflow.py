"""A system prompt that does not fit into the context window, however much else is summarized."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Backend, fresh_agent
from tests.contract.build import user
from tests.contract.wire import Wire

OVERFLOW = "context_window_overflow_in_system_prompt"


@pytest.fixture
def cramped_id(wire: Wire, backend: Backend) -> Iterator[str]:
    """A conversation of an agent whose memory alone is longer than its context window."""
    blocks = [{"label": "human", "value": "They like long words. " * 500}]
    with fresh_agent(backend, system="Be kind.", memory_blocks=blocks, context_window_limit=130) as agent:
        yield wire.new_conversation(agent)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("tokens", [True, False])
def test_the_answer_is_given_and_stored_and_then_the_turn_fails(
    wire: Wire, cramped_id: str, background: bool, tokens: bool
) -> None:
    turn = wire.post(cramped_id, user("hello"), stream_tokens=tokens, background=background)
    assert turn.text == "You said: hello"
    assert turn.stop_reasons == [OVERFLOW]
    assert (turn.types[-1], turn.events[-1], turn.done) == ("error_message", "error", False)
    assert turn.error["error_type"] == OVERFLOW
    assert turn.error["detail"].startswith("CONTEXT_WINDOW_EXCEEDED: The system prompt tokens ")
    assert turn.of("usage_statistics") == []
    assert wire.story(cramped_id) == [("user_message", "hello"), ("assistant_message", "You said: hello")]
    run = wire.ended_run(turn.run_id)
    assert (run["status"], run["stop_reason"]) == ("failed" if background else "completed", OVERFLOW)


def test_the_next_turn_fails_the_same_way(wire: Wire, cramped_id: str) -> None:
    for text in ("one", "two"):
        assert wire.post(cramped_id, user(text), stream_tokens=True).stop_reasons == [OVERFLOW]
    assert [kind for kind, _ in wire.story(cramped_id)] == ["user_message", "assistant_message"] * 2
