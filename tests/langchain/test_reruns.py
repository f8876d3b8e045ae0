"""The same request again: attached where it ran, tried anew where it left nothing, never sent twice."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_letta import ChatLetta
from letta_adapters.errors import NotFound, TurnFailed, TurnInterrupted
from tests.conftest import TIMEOUT, Backend, fresh_agent
from tests.contract.test_locking import CANCEL_CHECK
from tests.langchain.cutting import dying_async_client, dying_client
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import (
    CALL,
    TOOLS,
    Ask,
    call_ids,
    conversation_of,
    each_way,
    human,
    letta,
    new_gate,
    run_of,
    said,
)


@each_way
async def test_a_message_with_an_id_that_is_sent_again_attaches_to_its_turn(
    ask: Ask, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    asked = human("one [[think hm]]")
    first, again = await ask(pinned, [asked]), await ask(pinned, [asked])
    assert run_of(again) == run_of(first)
    assert (again.content_blocks, again.usage_metadata) == (first.content_blocks, first.usage_metadata)
    assert reader.story(conversation_id) == story_of([asked, first])


def test_a_first_turn_with_a_system_message_that_is_run_again_attaches(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    transcript = [SystemMessage("Be brief."), human("one")]
    first, again = pinned.invoke(transcript), pinned.invoke(transcript)
    assert reader.story(conversation_id) == story_of([*transcript, first])
    assert run_of(again) == run_of(first)


def test_a_step_that_is_run_again_in_another_process_attaches(
    backend: Backend, conversation_id: str, reader: Reader
) -> None:
    asked = human("one")
    answers = [ChatLetta(conversation_id=conversation_id, base_url=backend.base_url).invoke([asked]) for _ in range(2)]
    assert answers[0].model_dump() == answers[1].model_dump()
    assert reader.story(conversation_id) == said("one")


def test_a_followed_step_that_is_run_again_attaches(model: ChatLetta, reader: Reader) -> None:
    transcript: list[BaseMessage] = [human("one")]
    transcript += [model.invoke(transcript), human("two")]
    first, again = model.invoke(transcript), model.invoke(transcript)
    assert first.model_dump() == again.model_dump()
    assert reader.story(conversation_of(first)) == said("one", "two")


def test_results_that_are_sent_again_attach(model: ChatLetta, reader: Reader) -> None:
    bound, asked = model.bind_tools(TOOLS), HumanMessage(CALL)
    call = bound.invoke([asked])
    transcript = [asked, call, ToolMessage("3", tool_call_id=call_ids(call)[0])]
    first, again = bound.invoke(transcript), bound.invoke(transcript)
    assert run_of(first) == run_of(again)
    assert reader.story(conversation_of(first)) == story_of([*transcript, first])


def test_two_at_once_with_the_same_ids_are_one_turn(
    backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    gate = new_gate()
    asked = human(f"[[hold {gate}]] [[say one two]]")
    with ThreadPoolExecutor(2) as pool:
        turns = [pool.submit(pinned.invoke, [asked]) for _ in range(2)]
        backend.wait_for_gate(gate)
        backend.open_gate(gate)
        one, two = (turn.result() for turn in turns)
    assert run_of(one) == run_of(two)
    assert reader.story(conversation_id) == [("user", asked.text), ("assistant", "one two")]


def test_the_same_text_without_an_id_is_a_new_turn(pinned: ChatLetta, conversation_id: str, reader: Reader) -> None:
    for _ in range(2):
        pinned.invoke([HumanMessage("one")])
    assert reader.story(conversation_id) == said("one", "one")


def test_an_edited_message_of_the_same_id_is_a_new_turn(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    asked = human("one")
    pinned.invoke([asked])
    pinned.invoke([asked.model_copy(update={"content": "two"})])
    assert reader.story(conversation_id) == said("one", "two")


@each_way
async def test_a_turn_that_failed_in_its_first_step_is_run_anew_and_stores_nothing(
    ask: Ask, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    asked = human("[[fail 500]]")
    failures: list[TurnFailed] = []
    for _ in range(2):
        with pytest.raises(TurnFailed) as caught:
            await ask(pinned, [asked])
        failures.append(caught.value)
    assert [failure.accepted for failure in failures] == [False, False]
    assert failures[0].run_id != failures[1].run_id
    assert reader.story(conversation_id) == []


def test_after_a_failed_turn_the_conversation_goes_on(pinned: ChatLetta, conversation_id: str, reader: Reader) -> None:
    with pytest.raises(TurnFailed):
        pinned.invoke([human("[[fail 500]]")])
    pinned.invoke([human("one")])
    assert reader.story(conversation_id) == said("one")


def test_a_refused_turn_succeeds_on_its_retry_and_is_stored_once(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    asked = human("one")
    with pytest.raises(NotFound) as caught:
        pinned.invoke([asked], override_model="vllm/missing")
    assert caught.value.accepted is False
    assert pinned.invoke([asked]).text == "You said: one"
    assert reader.story(conversation_id) == said("one")


@each_way
async def test_a_cancelled_turn_succeeds_on_its_retry_and_is_stored_once(
    ask: Ask, backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    gate = new_gate()
    asked = human(f"[[hold {gate} 1]] [[say one two]]")
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(cancel_at_gate, backend, conversation_id, gate)
        with pytest.raises(TurnFailed) as caught:
            await ask(pinned, [asked])
        cancelling.result()
    assert (caught.value.stop_reason, caught.value.accepted) == ("cancelled", False)
    assert (await ask(pinned, [asked])).text == "one two"
    assert reader.story(conversation_id) == [("user", asked.text), ("assistant", "one two")]


def cancel_at_gate(backend: Backend, conversation_id: str, gate: str) -> None:
    backend.wait_for_gate(gate)
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.post(f"/v1/conversations/{conversation_id}/cancel").raise_for_status()
    time.sleep(CANCEL_CHECK)
    backend.open_gate(gate)


@each_way
async def test_a_turn_that_failed_in_its_second_step_is_not_sent_again(
    ask: Ask, model: ChatLetta, reader: Reader
) -> None:
    bound, asked = model.bind_tools(TOOLS), human(f"{CALL} [[next]] [[fail 500]]")
    call = await ask(bound, [asked])
    transcript = [asked, call, ToolMessage("3", tool_call_id=call_ids(call)[0])]
    failures: list[TurnFailed] = []
    for _ in range(2):
        with pytest.raises(TurnFailed) as caught:
            await ask(bound, transcript)
        failures.append(caught.value)
    assert [failure.accepted for failure in failures] == [True, True]
    assert failures[0].run_id == failures[1].run_id
    assert reader.story(conversation_of(call)) == story_of(transcript)


def test_the_turn_after_a_failed_second_step_does_not_answer_again(model: ChatLetta, reader: Reader) -> None:
    bound, asked = model.bind_tools(TOOLS), human(f"{CALL} [[next]] [[fail 500]]")
    call = bound.invoke([asked])
    transcript: list[BaseMessage] = [asked, call, ToolMessage("3", tool_call_id=call_ids(call)[0])]
    with pytest.raises(TurnFailed):
        bound.invoke(transcript)
    transcript.append(human("go on"))
    answer = bound.invoke(transcript)
    assert reader.story(conversation_of(call)) == story_of([*transcript, answer])


@each_way
async def test_a_turn_that_was_lost_in_flight_is_attached_to_and_not_sent_again(
    ask: Ask, backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    """The server goes on with it, although none of its messages is stored yet when the connection is given up."""
    gate = new_gate()
    asked = human(f"[[hold {gate}]] [[say one two]]")
    async with dying_async_client() as dying_async:
        with dying_client() as dying:
            model = ChatLetta(
                conversation_id=conversation_id,
                base_url=backend.base_url,
                max_retries=0,
                http_client=dying,
                http_async_client=dying_async,
            )
            with pytest.raises(TurnInterrupted) as caught:
                await ask(model, [asked])
    await asyncio.to_thread(backend.wait_for_gate, gate)
    backend.open_gate(gate)
    answer = await ask(pinned, [asked])
    assert reader.story(conversation_id) == [("user", asked.text), ("assistant", "one two")]
    assert run_of(answer) == caught.value.run_id
    assert caught.value.accepted is not False


def test_a_turn_that_one_agent_lost_is_not_given_to_another(backend: Backend, agent_id: str, reader: Reader) -> None:
    gate = new_gate()
    text = f"[[hold {gate}]] [[say the answer of the first]]"
    with dying_client() as dying, fresh_agent(backend) as other_id:
        losing = ChatLetta(agent_id=agent_id, base_url=backend.base_url, max_retries=0, http_client=dying)
        with pytest.raises(TurnInterrupted) as caught:
            losing.invoke(text)
        backend.wait_for_gate(gate)
        backend.open_gate(gate)
        answer = ChatLetta(agent_id=other_id, base_url=backend.base_url).invoke(text)
        assert conversation_of(answer) != caught.value.conversation_id
        assert reader.conversations(other_id) == [conversation_of(answer)]


def test_results_without_an_anchor_that_are_sent_again_attach(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    bound, asked = pinned.bind_tools(TOOLS), human(CALL)
    call = bound.invoke([asked]).model_copy(update={"response_metadata": {}, "id": None})
    told = ToolMessage("3", tool_call_id=call.tool_calls[0]["id"] or "", id="told")
    transcript: list[BaseMessage] = [asked, call, told, human("and?")]
    first, again = bound.invoke(transcript), bound.invoke(transcript)
    assert reader.story(conversation_id) == story_of([*transcript, first])
    assert run_of(first) == run_of(again)


def test_an_attached_answer_says_the_same_about_itself(pinned: ChatLetta) -> None:
    asked = human("one")
    first, again = pinned.invoke([asked]), pinned.invoke([asked])
    assert letta(first) == letta(again)
    assert first.response_metadata == again.response_metadata
