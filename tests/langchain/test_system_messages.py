"""System messages: told once, told again when changed, as an override, or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langchain_letta import ChatLetta
from tests.conftest import Backend
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import Ask, blocking_and_async, conversation_of, human, letta, new_gate, said


@blocking_and_async
async def test_an_unchanged_system_text_is_told_once(ask: Ask, model: ChatLetta, reader: Reader) -> None:
    transcript: list[BaseMessage] = [SystemMessage("Be brief.")]
    for text in ("one", "two", "three"):
        transcript.append(human(text))
        transcript.append(await ask(model, transcript))
    assert reader.story(conversation_of(transcript[-1])) == story_of(transcript)


def test_a_changed_system_text_is_told_again(model: ChatLetta, reader: Reader) -> None:
    rest: list[BaseMessage] = []
    for system, text in (("Be brief.", "one"), ("Be long.", "two"), ("Be long.", "three"), ("Be brief.", "four")):
        rest.append(human(text))
        rest.append(model.invoke([SystemMessage(system), *rest]))
    assert reader.story(conversation_of(rest[-1])) == [
        ("system", "Be brief."),
        *said("one"),
        ("system", "Be long."),
        *said("two", "three"),
        ("system", "Be brief."),
        *said("four"),
    ]


def test_several_leading_system_messages_are_one(model: ChatLetta, reader: Reader) -> None:
    answer = model.invoke([SystemMessage("Be brief."), SystemMessage("Be kind."), HumanMessage("one")])
    assert reader.story(conversation_of(answer)) == [("system", "Be brief.\n\nBe kind."), *said("one")]


def test_a_system_message_in_the_tail_is_told_in_its_place(model: ChatLetta, reader: Reader) -> None:
    transcript: list[BaseMessage] = [human("one")]
    transcript += [model.invoke(transcript), human("two"), SystemMessage("Hurry."), human("three")]
    answer = model.invoke(transcript)
    assert reader.story(conversation_of(answer)) == story_of([*transcript, answer])


@blocking_and_async
async def test_a_pinned_model_without_an_anchor_tells_it_once(
    ask: Ask, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    for text in ("one", "two"):
        await ask(pinned, [SystemMessage("Be brief."), HumanMessage(text)])
    assert reader.story(conversation_id) == [("system", "Be brief."), *said("one", "two")]


def test_a_pinned_model_without_an_anchor_tells_it_once_to_messages_with_ids(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    for text in ("one", "two"):
        pinned.invoke([SystemMessage("Be brief."), human(text)])
    assert reader.story(conversation_id) == [("system", "Be brief."), *said("one", "two")]


def test_a_text_that_a_turn_in_flight_tells_is_not_told_by_the_one_that_waits_for_it(
    backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    """Its rows are not there yet when the second turn begins, which asks for its run and reads when that is over."""
    gate, system = new_gate(), SystemMessage("Be brief.")

    def open_when_asked(answer: httpx.Response) -> None:
        if "/v1/runs/" in answer.request.url.path:
            backend.open_gate(gate)

    with httpx.Client(event_hooks={"response": [open_when_asked]}) as http, ThreadPoolExecutor(1) as pool:
        second = ChatLetta(conversation_id=conversation_id, base_url=backend.base_url, http_client=http)
        first = pool.submit(pinned.invoke, [system, HumanMessage(f"[[hold {gate}]] [[say one]]")])
        backend.wait_for_gate(gate)
        second.invoke([system, HumanMessage("two")])
        first.result()
    assert [line for line in reader.story(conversation_id) if line[0] == "system"] == [("system", "Be brief.")]


def test_a_pinned_model_without_an_anchor_tells_a_new_one(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    for system in ("Be brief.", "Be long."):
        pinned.invoke([SystemMessage(system), HumanMessage("one")])
    assert [line for line in reader.story(conversation_id) if line[0] == "system"] == [
        ("system", "Be brief."),
        ("system", "Be long."),
    ]


def test_a_pinned_model_without_an_anchor_does_not_tell_one_again_that_the_conversation_holds(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    for system in ("Be brief.", "Be long.", "Be brief."):
        pinned.invoke([SystemMessage(system), HumanMessage("one")])
    assert [text for kind, text in reader.story(conversation_id) if kind == "system"] == ["Be brief.", "Be long."]


def test_an_override_is_sent_with_every_turn_and_never_stored(backend: Backend, agent_id: str, reader: Reader) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url, system_messages="override")
    transcript: list[BaseMessage] = [SystemMessage("Be brief.")]
    for text in ("one", "two"):
        transcript.append(human(text))
        transcript.append(model.invoke(transcript))
    assert reader.story(conversation_of(transcript[-1])) == story_of(transcript[1:])
    assert letta(transcript[-1])["system_hash"] is None


def test_ignored_system_messages_are_not_sent(backend: Backend, agent_id: str, reader: Reader) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url, system_messages="ignore")
    answer = model.invoke([SystemMessage("Be brief."), HumanMessage("one"), SystemMessage("Hurry.")])
    assert reader.story(conversation_of(answer)) == said("one")


def test_the_policy_can_be_given_with_a_call(model: ChatLetta, reader: Reader) -> None:
    answer = model.invoke([SystemMessage("Be brief."), HumanMessage("one")], system_messages="ignore")
    assert reader.story(conversation_of(answer)) == said("one")


def test_a_changed_system_text_alone_is_a_turn(model: ChatLetta, reader: Reader) -> None:
    rest: list[BaseMessage] = [human("one")]
    rest.append(model.invoke(rest))
    answer = model.invoke([SystemMessage("[[say yes]] Be brief."), *rest])
    assert isinstance(answer, AIMessage)
    assert reader.story(conversation_of(answer))[2] == ("system", "[[say yes]] Be brief.")


def test_an_unknown_policy_is_refused(agent_id: str) -> None:
    with pytest.raises(ValueError, match="system_messages"):
        ChatLetta(agent_id=agent_id, system_messages="twice")  # pyright: ignore[reportArgumentType]
