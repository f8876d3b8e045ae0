"""`with_structured_output`: an answer in a form, asked for by name where it comes in words, and settled at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, cast
from uuid import uuid4

import httpx
import pytest
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.exceptions import ModelError, OutputParserException
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretStr, field_validator
from typing_extensions import TypedDict

from langchain_letta import ChatLetta
from langchain_letta.structured import TAKEN
from letta_adapters import LettaClient
from letta_adapters.errors import PendingApprovalError, TurnFailed
from letta_adapters.testing import FakeLetta, Reply
from tests.conftest import TIMEOUT, Backend, fresh_agent
from tests.langchain.readback import Reader
from tests.langchain.support import Ask, agent_of, call_ids, conversation_of, each_way, human, letta
from tests.langchain.traps.dying import Wire, async_client, client
from tests.langchain.traps.support import results, runs, users

pytestmark = pytest.mark.timeout(60)

OSLO = '[[call Weather {"place": "Oslo", "degrees": 3}]] Oslo?'
WORDS = "[[say It is cold.]] How is it in 'Oslo' at 3?"


class Weather(BaseModel):
    """The weather of a place."""

    place: str
    degrees: int


class WeatherDict(TypedDict):
    """The weather of a place."""

    place: Annotated[str, ..., "where"]
    degrees: Annotated[int, ..., "how warm"]


IN_OSLO = Weather(place="Oslo", degrees=3)
SETTLED = [("user", OSLO), ("calls", "Weather"), ("results", TAKEN)]

Chain = Runnable[Any, Any]


def form(model: ChatLetta, schema: Any = Weather, **options: Any) -> Chain:
    return model.with_structured_output(schema, **options)


@pytest.fixture
def eager(backend: Backend) -> Iterator[ChatLetta]:
    """A model that calls what it is offered, unless a directive says otherwise."""
    with fresh_agent(backend, model=backend.eager) as agent_id:
        yield ChatLetta(agent_id=agent_id, base_url=backend.base_url)


@each_way
@pytest.mark.parametrize("mode", ["followed", "pinned"])
async def test_an_answer_in_a_form_is_settled_at_once(
    ask: Ask, mode: str, model: ChatLetta, pinned: ChatLetta, agent_id: str, conversation_id: str, reader: Reader
) -> None:
    chosen = model if mode == "followed" else pinned
    assert await ask(form(chosen), OSLO) == IN_OSLO
    (conversation,) = set(reader.conversations(agent_id)) - ({conversation_id} if mode == "followed" else set())
    assert reader.story(conversation) == SETTLED


@each_way
async def test_the_next_message_finds_nothing_pending(
    ask: Ask, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    await ask(form(pinned), OSLO)
    assert (await ask(pinned, "thanks")).text == "You said: thanks"
    assert reader.story(conversation_id) == [*SETTLED, ("user", "thanks"), ("assistant", "You said: thanks")]


@pytest.mark.parametrize(
    ("schema", "answer"),
    [(Weather, IN_OSLO), (WeatherDict, IN_OSLO.model_dump()), (Weather.model_json_schema(), IN_OSLO.model_dump())],
    ids=["pydantic", "typed dict", "json schema"],
)
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@pytest.mark.parametrize("strict", [None, False, True])
def test_a_form_may_be_a_class_a_typed_dict_or_a_schema(
    schema: Any, answer: Any, method: Any, strict: bool | None, model: ChatLetta
) -> None:
    name = "WeatherDict" if schema is WeatherDict else "Weather"
    asked = f'[[call {name} {{"place": "Oslo", "degrees": 3}}]]'
    assert form(model, schema, method=method, strict=strict).invoke(asked) == answer


def raw_and_parsed(answer: Any) -> tuple[AIMessage, Any, Any]:
    return answer["raw"], answer["parsed"], answer["parsing_error"]


def test_the_raw_answer_has_the_call_and_an_anchor_that_waits_for_nothing(model: ChatLetta, reader: Reader) -> None:
    raw, parsed, error = raw_and_parsed(form(model, include_raw=True).invoke([human(OSLO)]))
    assert (parsed, error) == (IN_OSLO, None)
    assert [(call["name"], call["args"]) for call in raw.tool_calls] == [("Weather", IN_OSLO.model_dump())]
    assert letta(raw)["pending"] == []
    assert letta(raw)["run_id"] in runs(reader, conversation_of(raw))
    assert raw.response_metadata["finish_reason"] == "tool_calls"


@each_way
@pytest.mark.parametrize("told", [False, True], ids=["without a result", "with a result"])
async def test_a_transcript_goes_on_after_the_raw_answer(
    ask: Ask, told: bool, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages: list[BaseMessage] = [human(OSLO)]
    raw: AIMessage = form(model, include_raw=True).invoke(messages)["raw"]
    messages.append(raw)
    if told:
        messages.append(ToolMessage(TAKEN, tool_call_id=call_ids(raw)[0]))
    answer = await ask(model, [*messages, human("thanks")])
    assert reader.conversations(agent_id) == [conversation_of(answer)]
    assert reader.story(conversation_of(answer)) == [*SETTLED, ("user", "thanks"), ("assistant", "You said: thanks")]


def test_anchors_of_answers_in_a_form_are_signed(model: ChatLetta) -> None:
    signing = model.model_copy(update={"anchor_key": SecretStr("secret")})
    messages: list[BaseMessage] = [human(OSLO)]
    messages.append(form(signing, include_raw=True).invoke(messages)["raw"])
    answer = signing.invoke([*messages, human("thanks")])
    assert conversation_of(answer) == conversation_of(messages[-1])


@each_way
async def test_a_question_that_is_asked_again_gets_its_answer_again(
    ask: Ask, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    first = model.invoke([human("hello")])
    question = [human("hello"), first, human(OSLO)]
    assert [await ask(form(model), question) for _ in range(2)] == [IN_OSLO] * 2
    assert reader.conversations(agent_id) == [conversation_of(first)]
    assert reader.story(conversation_of(first))[2:] == SETTLED


@each_way
async def test_an_agent_that_answers_in_words_is_asked_for_the_call_once(
    ask: Ask, eager: ChatLetta, reader: Reader
) -> None:
    assert await ask(form(eager), WORDS) == Weather(place="Answer by calling this tool: Weather.", degrees=1)
    (conversation,) = reader.conversations(eager.agent_id or "")
    kinds = [kind for kind, _ in reader.story(conversation)]
    assert kinds == ["user", "assistant", "user", "calls", "results"]
    assert users(reader, conversation)[0] == WORDS


def test_the_tokens_of_both_turns_are_counted(eager: ChatLetta) -> None:
    raw: AIMessage = form(eager, include_raw=True).invoke(WORDS)["raw"]
    assert raw.usage_metadata is not None
    assert (raw.usage_metadata["input_tokens"], raw.usage_metadata["output_tokens"]) == (200, 40)


def test_a_conversation_that_is_not_kept_is_left_by_the_words_too(eager: ChatLetta, reader: Reader) -> None:
    brief = eager.model_copy(update={"ephemeral": True})
    assert form(brief).invoke(OSLO) == IN_OSLO
    assert form(brief).invoke(WORDS) == Weather(place="Answer by calling this tool: Weather.", degrees=1)
    assert reader.conversations(eager.agent_id or "") == []


@each_way
async def test_an_agent_that_answers_in_words_twice_is_told_with_its_words(
    ask: Ask, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    with pytest.raises(OutputParserException, match=r"in words.*'Weather'.*You said: Answer by calling") as caught:
        await ask(form(pinned), WORDS)
    assert caught.value.llm_output == "You said: Answer by calling this tool: Weather."
    assert len(users(reader, conversation_id)) == 2
    assert (await ask(pinned, "thanks")).text == "You said: thanks"


@each_way
async def test_a_failure_when_the_call_is_asked_for_is_no_reason_to_ask_the_question_again(
    ask: Ask, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--backend") == "live":
        pytest.skip("needs a provider that fails when it is asked for the call; the scripted one cannot")
    replies = [Reply(text="It is cold."), Reply(fail=500)]
    with FakeLetta(model=lambda _: replies.pop(0)) as fake, LettaClient(base_url=fake.base_url) as letta_client:
        agent_id = letta_client.agents.create(name="failing").id
        with pytest.raises(TurnFailed) as caught:
            await ask(form(ChatLetta(agent_id=agent_id, base_url=fake.base_url)), "Oslo?")
        assert isinstance(caught.value, ModelError)
        assert (caught.value.accepted, caught.value.is_retryable) == (True, False)
        with Reader(fake.base_url) as reader:
            (conversation,) = reader.conversations(agent_id)
            assert users(reader, conversation) == ["Oslo?"]


def test_words_are_beside_the_raw_answer(pinned: ChatLetta) -> None:
    raw, parsed, error = raw_and_parsed(form(pinned, include_raw=True).invoke(WORDS))
    assert (raw.text, parsed) == ("You said: Answer by calling this tool: Weather.", None)
    assert isinstance(error, OutputParserException)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [('{"place": "Oslo"', "not a JSON object"), ('{"place": "Oslo", "degrees": "cold"}', "valid integer")],
    ids=["no object", "not of the form"],
)
def test_a_call_that_is_not_of_the_form_is_an_error_and_settled(
    arguments: str, match: str, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    with pytest.raises(ValueError, match=match):
        form(pinned).invoke(f"[[call Weather {arguments}]]")
    (told,) = reader.answers(conversation_id)
    assert told["status"] == "error"
    assert re.search(f"not taken: .*{match}", told["tool_return"], re.DOTALL)


def test_whatever_a_validator_raises_the_call_is_settled(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    class Picky(BaseModel):
        place: str

        @field_validator("place")
        @classmethod
        def _no(cls, value: str) -> str:
            raise RuntimeError(f"{value} is not on the map")

    with pytest.raises(RuntimeError, match="not on the map"):
        form(pinned, Picky).invoke('[[call Picky {"place": "Oslo"}]]')
    assert results(reader, conversation_id) == ["The answer was not taken: Oslo is not on the map"]


@pytest.mark.usefixtures("parallel_calls")
def test_of_two_answers_at_once_the_first_is_taken_and_both_are_settled(model: ChatLetta, reader: Reader) -> None:
    both = f'{OSLO} [[call Weather {{"place": "Rome", "degrees": 24}}]]'
    raw, parsed, _ = raw_and_parsed(form(model, include_raw=True).invoke(both))
    assert parsed == IN_OSLO
    taken, refused = results(reader, conversation_of(raw))
    assert taken == TAKEN
    assert "the first" in refused


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_cannot_be_settled_is_given_and_the_next_turn_settles_it(
    streamed: bool, pinned: ChatLetta, conversation_id: str, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire(spared=1, error=httpx.ReadError)
    with client(wire) as http:
        lossy = pinned.model_copy(update={"http_client": http, "max_retries": 0})
        chain = form(lossy)
        answer = next(iter(chain.stream(OSLO))) if streamed else chain.invoke(OSLO)
    assert answer == IN_OSLO
    assert "could not be settled" in caplog.text
    async with async_client(wire := Wire(spared=1, error=httpx.ReadError)) as http:
        lossy = pinned.model_copy(update={"http_async_client": http, "max_retries": 0})
        assert await form(lossy).ainvoke(OSLO) == IN_OSLO
    assert form(pinned).invoke(OSLO) == IN_OSLO
    assert users(reader, conversation_id) == [OSLO] * 3


def test_a_stream_gives_the_answer_whole_and_in_one_piece(model: ChatLetta) -> None:
    assert list(form(model).stream(f"[[think hm]] {OSLO}")) == [IN_OSLO]


def test_the_chunks_of_an_answer_in_a_form_are_those_of_its_message(model: ChatLetta) -> None:
    bound = cast("Any", form(model)).first
    hello = human("hello")
    question = [hello, model.invoke([hello]), human(f"[[think let me see]] [[say Well]] {OSLO}")]
    whole: AIMessage = bound.invoke(question)
    first, *others = bound.stream(question)
    joined: Any = first
    for chunk in others:
        joined = joined + chunk
    assert joined.content_blocks == whole.content_blocks
    assert joined.tool_calls == whole.tool_calls
    assert joined.response_metadata == whole.response_metadata
    assert joined.id == whole.id


JSON = 'Return a JSON with "place" and "degrees": [[say {"place": "Oslo", "degrees": 3}]]'


@each_way
async def test_in_json_mode_the_text_is_read(ask: Ask, pinned: ChatLetta, conversation_id: str, reader: Reader) -> None:
    assert await ask(form(pinned, method="json_mode"), JSON) == IN_OSLO
    assert form(pinned, None, method="json_mode").invoke(JSON) == IN_OSLO.model_dump()
    assert {kind for kind, _ in reader.story(conversation_id)} == {"user", "assistant"}


def test_in_json_mode_words_are_an_error(model: ChatLetta) -> None:
    with pytest.raises(OutputParserException):
        form(model, method="json_mode").invoke("hello")


def test_a_method_that_the_server_has_no_place_for_is_told_once(
    model: ChatLetta, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        form(model, method="json_schema")
    assert caplog.text.count("`json_schema`") == 1


@pytest.mark.parametrize(
    ("schema", "options", "match"),
    [
        (Weather, {"method": "magic"}, "'magic'"),
        (Weather, {"tools": []}, "'tools'"),
        (None, {}, "needs a schema"),
        ({"title": "not a name", "type": "object", "properties": {}}, {}, "'not a name'"),
    ],
)
def test_what_cannot_be_had_is_refused_when_it_is_asked_for(
    schema: Any, options: dict[str, Any], match: str, model: ChatLetta
) -> None:
    with pytest.raises(ValueError, match=match):
        form(model, schema, **options)


def test_a_format_of_the_provider_is_refused_with_what_to_do(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    with pytest.raises(ValueError, match="ToolStrategy"):
        agent_of(model, [], response_format=ProviderStrategy(Weather)).invoke({"messages": [HumanMessage(OSLO)]})
    with pytest.raises(ValueError, match="ToolStrategy"):
        model.invoke("hello", response_format={"type": "json_object"})
    assert reader.conversations(agent_id) == []


SERVER_TOOL = '''
def NAME() -> str:
    """Do it."""
    return "done"
'''


@pytest.fixture
def guarded_tool(backend: Backend, agent_id: str) -> Iterator[str]:
    """A tool of the server's that may only run when a human agrees."""
    name, tools = f"launch_{uuid4().hex[:8]}", f"/v1/agents/{agent_id}/tools"
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        source = {"source_code": SERVER_TOOL.replace("NAME", name)}
        tool_id = http.post("/v1/tools/", json=source).raise_for_status().json()["id"]
        http.patch(f"{tools}/attach/{tool_id}").raise_for_status()
        http.patch(f"{tools}/approval/{name}", json={"requires_approval": True}).raise_for_status()
        yield name
        http.delete(f"/v1/tools/{tool_id}")


def test_a_decision_that_is_somebody_elses_is_left_to_them(
    guarded_tool: str, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    with pytest.raises(OutputParserException, match=f"decision.*{guarded_tool}"):
        form(pinned).invoke(f"[[call {guarded_tool}]]")
    assert results(reader, conversation_id) == []
    with pytest.raises(PendingApprovalError, match=guarded_tool):
        form(pinned).invoke(OSLO)
