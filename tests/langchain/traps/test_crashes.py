"""A process dies when the server has accepted a turn, and another one goes on: with the same turn, or with more."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_letta import ChatLetta
from tests.conftest import Backend
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, TOOLS, agent_of, asked, call_ids, conversation_of, human, new_gate
from tests.langchain.traps.dying import Died, Wire, async_client, client, late_client
from tests.langchain.traps.support import chain_of, chat, end_of_held_turn, expect, thread, users

FIRST = "[[say the first answer]] first"


@pytest.fixture(params=["ended", "running"])
def gate(request: pytest.FixtureRequest) -> str | None:
    """Where the turn of the process that died waits, or nothing."""
    return new_gate() if request.param == "running" else None


def first_of(gate: str | None) -> str:
    return f"[[hold {gate}]] {FIRST}" if gate else FIRST


def release(backend: Backend, gate: str | None) -> None:
    if gate:
        backend.wait_for_gate(gate)
        backend.open_gate(gate)


@contextmanager
def dying(model: ChatLetta, **options: Any) -> Generator[ChatLetta]:
    """The model in a process that dies in its first turn, or as the options of `Wire` say."""
    with client(Wire(**options)) as http:
        yield model.model_copy(update={"http_client": http})


def die(model: Any, messages: Sequence[BaseMessage]) -> None:
    with pytest.raises(Died):
        model.invoke(list(messages))


def begin(model: Any) -> list[BaseMessage]:
    messages: list[BaseMessage] = [human("hello")]
    return [*messages, model.invoke(messages)]


def test_a_question_after_the_one_with_which_a_process_died_finds_it_stored_once(
    gate: str | None, backend: Backend, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages = [*begin(model), human(first_of(gate))]
    with dying(model) as lost:
        die(lost, messages)
    release(backend, gate)
    second = human("second")
    answer = model.invoke([*messages, second])
    expect(reader, [*messages, AIMessage("the first answer"), second, answer])
    assert reader.conversations(agent_id) == [conversation_of(answer)]


async def test_a_question_after_the_one_with_which_a_process_died_finds_it_stored_once_async(
    gate: str | None, backend: Backend, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages = [*begin(model), human(first_of(gate))]
    async with async_client(Wire()) as http:
        lost = model.model_copy(update={"http_async_client": http})
        with pytest.raises(Died):
            [chunk async for chunk in lost.astream(messages)]
    release(backend, gate)
    second = human("second")
    answer = await model.ainvoke([*messages, second])
    expect(reader, [*messages, AIMessage("the first answer"), second, answer])
    assert reader.conversations(agent_id) == [conversation_of(answer)]


@pytest.mark.parametrize("keeps", [True, False], ids=["asks on", "asks something else"])
def test_a_turn_that_ends_between_the_look_and_the_sending_is_seen(
    keeps: bool, backend: Backend, model: ChatLetta, reader: Reader
) -> None:
    """While it runs, none of its messages shows; what was read then is old news when the next turn is sent."""
    gate = new_gate()
    before, first = begin(model), human(first_of(gate))
    with dying(model) as lost:
        die(lost, [*before, first])
    backend.wait_for_gate(gate)
    messages = [*before, *([first] if keeps else []), human("second")]
    with late_client(partial(end_of_held_turn, backend, conversation_of(before[-1]), gate)) as http:
        answer = model.model_copy(update={"http_client": http}).invoke(messages)
    in_between = [first, AIMessage("the first answer")] if keeps else []
    expect(reader, [*before, *in_between, messages[-1], answer])
    story = reader.story(conversation_of(before[-1]))
    assert story[:4] == story_of([*before, first, AIMessage("the first answer")])
    assert len(story) == (6 if keeps else 4)


def test_three_processes_that_died_one_after_the_other_leave_every_question_stored_once(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages = begin(model)
    for number in range(3):
        messages.append(human(f"[[say answer {number}]] question {number}"))
        with dying(model) as lost:
            die(lost, messages)
    messages.append(human("last"))
    answer = model.invoke(messages)
    whole = messages[:2]
    for number, question in enumerate(messages[2:-1]):
        whole += [question, AIMessage(f"answer {number}")]
    expect(reader, [*whole, messages[-1], answer])
    assert reader.conversations(agent_id) == [conversation_of(answer)]


def test_a_pinned_conversation_has_the_question_with_which_a_process_died_once(
    gate: str | None, backend: Backend, pinned: ChatLetta, reader: Reader
) -> None:
    first, second = human(first_of(gate)), human("second")
    with dying(pinned) as lost:
        die(lost, [first])
    release(backend, gate)
    answer = pinned.invoke([first, second])
    expect(reader, [first, AIMessage("the first answer"), second, answer])


def test_a_result_with_which_a_process_died_is_given_once(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [human(f"{CALL} [[next]] [[say it is three]]")]
    messages.append(bound.invoke(messages))
    messages.append(ToolMessage("3", tool_call_id=call_ids(messages[-1])[0], id="result-1"))
    with dying(model) as lost:
        die(lost.bind_tools(TOOLS), messages)
    second = human("second")
    answer = bound.invoke([*messages, second])
    expect(reader, [*messages, AIMessage("it is three"), second, answer])
    assert reader.conversations(agent_id) == [conversation_of(answer)]


def test_a_process_that_died_before_the_turn_was_sent_left_nothing(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages = [*begin(model), human("first")]
    with dying(model, broken=True) as lost:
        die(lost, messages)
    second = human("second")
    answer = model.invoke([*messages, second])
    expect(reader, [*messages, second, answer])
    assert reader.conversations(agent_id) == [conversation_of(answer)]


OpenSaver = Callable[[], AbstractContextManager[Any]]


@pytest.fixture(params=["memory", "sqlite"])
def open_saver(request: pytest.FixtureRequest, tmp_path: Path) -> OpenSaver:
    """Opens the checkpoints, as each process does."""
    if request.param == "sqlite":
        return lambda: SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db"))
    return partial(nullcontext, InMemorySaver())


each_program = pytest.mark.parametrize("program", ["node", "agent"])


def program_of(program: str, model: ChatLetta, saver: Any) -> Any:
    """A graph with one node that asks the model, or an agent."""
    if program == "agent":
        return agent_of(model, checkpointer=saver, system_prompt="Be brief.")
    return chain_of(("chat", chat(model)), saver=saver)


def run(program: Any, given: Any, config: Any) -> list[BaseMessage]:
    return program.invoke(given, config, durability="sync")["messages"]


def before_of(program: str) -> list[tuple[str, str]]:
    return [("system", "Be brief.")] if program == "agent" else []


@each_program
def test_a_first_turn_that_is_taken_up_by_another_process_finds_its_conversation(
    program: str,
    gate: str | None,
    open_saver: OpenSaver,
    backend: Backend,
    model: ChatLetta,
    agent_id: str,
    reader: Reader,
) -> None:
    config = thread()
    with dying(model) as lost, open_saver() as saver, pytest.raises(Died):
        run(program_of(program, lost, saver), asked(first_of(gate)), config)
    release(backend, gate)
    with open_saver() as saver:
        messages = run(program_of(program, model, saver), None, config)
    assert [message.text for message in messages[1:]] == ["the first answer"]
    expect(reader, messages, before=before_of(program))
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


@each_program
def test_a_first_turn_that_was_given_up_is_stored_once_when_the_thread_asks_on(
    program: str,
    gate: str | None,
    open_saver: OpenSaver,
    backend: Backend,
    model: ChatLetta,
    agent_id: str,
    reader: Reader,
) -> None:
    config = thread()
    with dying(model) as lost, open_saver() as saver, pytest.raises(Died):
        run(program_of(program, lost, saver), asked(first_of(gate)), config)
    release(backend, gate)
    with open_saver() as saver:
        messages = run(program_of(program, model, saver), asked("second"), config)
    assert [message.text for message in messages] == [first_of(gate), "second", "You said: second"]
    whole = [messages[0], AIMessage("the first answer"), *messages[1:]]
    expect(reader, [*whole], before=before_of(program))
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_a_first_turn_that_was_overtaken_in_its_own_conversation_stores_its_question_nowhere_twice(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    """Two runs of one thread, the later one with more to say: it finds the conversation before the other one sent."""
    config, first, second = thread(), HumanMessage("first", id="h1"), HumanMessage("second", id="h2")

    def overtake() -> None:
        run(chain_of(("chat", chat(model)), saver=InMemorySaver()), {"messages": [first, second]}, config)

    with late_client(overtake, spared=2) as http:  # what is read third is read of the conversation that was made
        late = model.model_copy(update={"http_client": http})
        run(chain_of(("chat", chat(late)), saver=InMemorySaver()), {"messages": [first]}, config)
    stories = [users(reader, conversation) for conversation in reader.conversations(agent_id)]
    assert sorted(stories) == [["first"], ["first", "second"]]


@each_program
def test_a_later_turn_that_was_given_up_is_stored_once_when_the_thread_asks_on(
    program: str, gate: str | None, backend: Backend, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()
    before = run(program_of(program, model, saver), asked("hello"), config)
    with dying(model) as lost, pytest.raises(Died):
        run(program_of(program, lost, saver), asked(first_of(gate)), config)
    release(backend, gate)
    messages = run(program_of(program, model, saver), asked("second"), config)
    whole = [*before, messages[2], AIMessage("the first answer"), *messages[3:]]
    expect(reader, whole, before=before_of(program))
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


@pytest.mark.parametrize("goes_on", ["taken up", "asks on"])
def test_a_continuation_with_which_a_process_died_gives_each_result_once(
    goes_on: str, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()
    text = f"{CALL} [[next]] [[say it is three]]"
    with dying(model, spared=1) as lost, pytest.raises(Died):
        run(agent_of(lost, checkpointer=saver), asked(text), config)
    agent = agent_of(model, checkpointer=saver)
    if goes_on == "taken up":
        messages = run(agent, None, config)
        assert messages[-1].text == "it is three"
        expect(reader, messages)
    else:
        messages = run(agent, asked("second"), config)
        expect(reader, [*messages[:3], AIMessage("it is three"), *messages[3:]])
    assert len(reader.answers(conversation_of(messages[-1]))) == 1
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_two_threads_that_ask_the_same_have_a_conversation_each(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    graph = chain_of(("chat", chat(model)), saver=InMemorySaver())
    question = human("the same, with the same id")
    answers = [run(graph, {"messages": [question]}, thread()) for _ in range(2)]
    assert len(reader.conversations(agent_id)) == 2
    for messages in answers:
        expect(reader, messages)
