"""The same request again without Redis, where nothing is deduped: it is found, and not sent twice (F02, F16)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from langchain_letta import ChatLetta
from tests.conftest import Backend, fresh_agent, fresh_conversation
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, call_ids, human, run_of, said


@pytest.fixture
def plain_agent(no_redis_backend: Backend) -> Iterator[str]:
    with fresh_agent(no_redis_backend) as agent:
        yield agent


@pytest.fixture
def conversation(no_redis_backend: Backend, plain_agent: str) -> str:
    return fresh_conversation(no_redis_backend, plain_agent)


@pytest.fixture
def reader(no_redis_backend: Backend) -> Iterator[Reader]:
    with Reader(no_redis_backend.base_url) as opened:
        yield opened


def test_f02_a_message_that_another_process_sent_is_found_and_not_sent_again(
    no_redis_backend: Backend, conversation: str, reader: Reader
) -> None:
    asked = human("one")
    models = [ChatLetta(conversation_id=conversation, base_url=no_redis_backend.base_url) for _ in range(2)]
    first, again = (model.invoke([asked]) for model in models)
    assert (run_of(again), again.text) == (run_of(first), first.text)
    assert reader.story(conversation) == said("one")


def test_f16_results_that_another_process_sent_are_found_and_not_answered_twice(
    no_redis_backend: Backend, conversation: str, reader: Reader
) -> None:
    bound = [
        ChatLetta(conversation_id=conversation, base_url=no_redis_backend.base_url).bind_tools(TOOLS) for _ in range(2)
    ]
    asked = HumanMessage(CALL)
    called = bound[0].invoke([asked])
    transcript = [asked, called, ToolMessage("3", tool_call_id=call_ids(called)[0])]
    first, again = (model.invoke(transcript) for model in bound)
    assert (run_of(again), again.text) == (run_of(first), first.text)
    assert len(reader.answers(conversation)) == 1
