"""One turn at a time in a conversation; many conversations at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from letta_adapters.errors import ConversationBusy
from llama_index_letta import LettaChatEngine
from tests.conftest import NOWHERE, Backend
from tests.contract.wire import Wire
from tests.langchain.readback import Reader
from tests.llama_index.support import ADD, MakeEngine, add, conversation_of, new_gate, said
from tests.loop.support import results


def test_first_messages_at_the_same_time_make_one_conversation(
    engine: LettaChatEngine, reader: Reader, agent_id: str
) -> None:
    texts = [f"message {number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(engine.chat, texts))
    assert [str(answer) for answer in answers] == [f"You said: {text}" for text in texts]
    assert reader.conversations(agent_id) == [engine.conversation_id]
    assert sorted(reader.story(conversation_of(engine))) == sorted(said(*texts))


async def test_so_they_do_in_tasks(engine: LettaChatEngine, reader: Reader, agent_id: str) -> None:
    texts = [f"message {number}" for number in range(4)]
    answers = await asyncio.gather(*(engine.achat(text) for text in texts))
    assert [str(answer) for answer in answers] == [f"You said: {text}" for text in texts]
    assert reader.conversations(agent_id) == [engine.conversation_id]
    assert sorted(reader.story(conversation_of(engine))) == sorted(said(*texts))


def test_a_message_waits_for_the_tools_of_the_one_before(make_engine: MakeEngine, wire: Wire) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def work() -> str:
        """Work."""
        at_work.set()
        go_on.wait(60)
        return "done"

    first = make_engine(tools=[work])
    response = first.stream_chat("[[call work {}]] [[next]] [[say it is done]]")
    second = first.for_conversation(conversation_of(first))
    assert at_work.wait(60)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(second.chat, "and now?")
        go_on.set()  # whoever does not wait is refused by now, or denies the call
        assert str(answer.result(60)) == "You said: and now?"
    assert response.result().response == "it is done"
    assert results(wire, conversation_of(first)) == [("success", "done")]
    second.close()


@pytest.mark.parametrize("way", ["chat", "achat"])
async def test_nobody_denies_a_call_whose_tool_is_running(way: str, make_engine: MakeEngine, wire: Wire) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def work() -> str:
        """Work."""
        at_work.set()
        go_on.wait(60)
        return "done"

    first = make_engine(tools=[work])
    response = first.stream_chat("[[call work {}]] [[next]] [[say it is done]]")
    second = make_engine(tools=[work], conversation_id=conversation_of(first), busy_timeout=0)
    assert at_work.wait(60)
    with pytest.raises(ConversationBusy):
        _ = second.chat("hello") if way == "chat" else await second.achat("hello")
    go_on.set()
    assert response.result().response == "it is done"
    assert results(wire, conversation_of(first)) == [("success", "done")]


@pytest.mark.parametrize("way", ["chat", "achat"])
async def test_or_it_does_not_wait(way: str, make_engine: MakeEngine, backend: Backend) -> None:
    gate = new_gate()
    first = make_engine()
    response = first.stream_chat(f"[[hold {gate} 1]] [[say one two]]")
    second = make_engine(conversation_id=conversation_of(first), busy_timeout=0)
    with pytest.raises(ConversationBusy):
        _ = second.chat("hello") if way == "chat" else await second.achat("hello")
    backend.open_gate(gate)
    assert response.result().response == "one two"
    assert str(second.chat("hello")) == "You said: hello"


def test_the_next_message_need_not_wait_once_the_answer_is_there(make_engine: MakeEngine) -> None:
    engine = make_engine(tools=[add], busy_timeout=0)
    for _ in range(3):
        assert [source.content for source in engine.chat(ADD).sources] == ["3"]
        assert list(engine.stream_chat("hello").response_gen)


async def test_many_conversations_go_on_at_once(make_engine: MakeEngine, reader: Reader) -> None:
    engine = make_engine(tools=[add])
    others = [engine.for_conversation(None) for _ in range(5)]
    responses = await asyncio.gather(*(other.achat(f"{ADD} [[next]] [[say done]]") for other in others))
    assert {str(response) for response in responses} == {"done"}
    assert len({other.conversation_id for other in others}) == 5
    for other in others:
        assert [kind for kind, _ in reader.story(conversation_of(other))] == ["user", "calls", "results", "assistant"]
        await other.aclose()


def test_a_message_that_was_not_sent_keeps_nobody_waiting(make_engine: MakeEngine, agent_id: str) -> None:
    engine = make_engine(busy_timeout=0)
    engine.chat("one")
    broken = make_engine(conversation_id=conversation_of(engine), base_url=NOWHERE, max_retries=0, busy_timeout=0)
    for _ in range(2):
        with pytest.raises(Exception, match="Could not reach"):
            broken.chat("two")
    assert str(engine.chat("three")) == "You said: three"
