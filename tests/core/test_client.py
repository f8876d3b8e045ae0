"""The client against the double: every endpoint, blocking and asynchronous."""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
import pydoc
import re
import shutil
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.errors import Conflict, ConnectFailed, NotFound, PendingApprovalError, TurnFailed
from letta_adapters.events import TextDelta, TurnStarted
from letta_adapters.testing import FakeLetta
from letta_adapters.wire import (
    ApprovalCreate,
    AssistantMessage,
    ClientTool,
    MessageCreate,
    ToolReturn,
    UserMessage,
)
from tests.conftest import NOWHERE

ADD = ClientTool(name="add", description="adds", parameters={"type": "object", "properties": {}})
HANDLE = "vllm/scripted"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeLetta]:
    with FakeLetta() as server:
        yield server


@pytest.fixture
def client(fake: FakeLetta) -> Iterator[LettaClient]:
    with LettaClient(base_url=fake.base_url) as made:
        yield made


@pytest.fixture
async def async_client(fake: FakeLetta) -> AsyncIterator[AsyncLettaClient]:
    async with AsyncLettaClient(base_url=fake.base_url) as made:
        yield made


@pytest.fixture
def agent_id(client: LettaClient) -> str:
    return client.agents.create(name="a", model=HANDLE, include_base_tools=False).id


@pytest.fixture
def conversation_id(client: LettaClient, agent_id: str) -> str:
    return client.conversations.create(agent_id=agent_id).id


def test_an_agent_is_created_read_and_deleted(client: LettaClient) -> None:
    made = client.agents.create(name="mine", model=HANDLE, memory_blocks=[{"label": "human", "value": "x"}])
    assert client.agents.retrieve(made.id).name == "mine"
    client.agents.delete(made.id)
    with pytest.raises(NotFound):
        client.agents.retrieve(made.id)


def test_a_conversation_is_created_found_forked_and_deleted(client: LettaClient, agent_id: str) -> None:
    made = client.conversations.create(agent_id=agent_id, summary="marker-1")
    assert client.conversations.retrieve(made.id).agent_id == agent_id
    assert [found.id for found in client.conversations.list(agent_id=agent_id, summary_search="marker-1")] == [made.id]
    fork = client.conversations.fork(made.id)
    assert fork.id != made.id
    client.conversations.delete(made.id)
    with pytest.raises(NotFound):
        client.conversations.retrieve(made.id)


def test_cancelling_without_a_turn_in_flight_is_a_conflict(client: LettaClient, conversation_id: str) -> None:
    with pytest.raises(Conflict):
        client.conversations.cancel(conversation_id)


def test_a_turn_is_streamed_stored_and_read_back_by_its_run(client: LettaClient, conversation_id: str) -> None:
    with client.conversations.messages.create(conversation_id, input="[[say Hello there]]") as stream:
        events = list(stream)
        turn = stream.result()
    assert isinstance(events[0], TurnStarted)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello there" == turn.text
    assert turn.run_id is not None
    assert client.runs.retrieve(turn.run_id).id == turn.run_id
    rows = client.runs.messages(turn.run_id, order="asc")
    assert [type(row) for row in rows][-1] is AssistantMessage
    asked = client.conversations.messages.list(
        conversation_id, order="asc", include_return_message_types=["user_message"]
    )
    assert [(type(row), getattr(row, "otid", None)) for row in asked] == [(UserMessage, turn.otids[0])]


def test_a_finished_run_is_attached_to(client: LettaClient, conversation_id: str) -> None:
    turn = client.conversations.messages.create(conversation_id, input="[[say one two three]]").result()
    again = client.conversations.messages.stream(conversation_id, run_id=turn.run_id).result()
    assert (again.text, again.usage, again.stop_reason) == (turn.text, turn.usage, turn.stop_reason)


def test_the_same_otid_again_gives_the_same_turn(client: LettaClient, conversation_id: str) -> None:
    messages = [MessageCreate(role="user", content="[[say once]]", otid="otid-of-this-test")]
    first = client.conversations.messages.create(conversation_id, messages=messages).result()
    second = client.conversations.messages.create(conversation_id, messages=messages).result()
    assert (first.run_id, first.parts) == (second.run_id, second.parts)
    assert len(client.conversations.messages.list(conversation_id)) == 3


def test_a_tool_call_is_answered(client: LettaClient, conversation_id: str) -> None:
    asked = client.conversations.messages.create(
        conversation_id, input='[[call add {"a": 1}]]', client_tools=[ADD]
    ).result()
    (call,) = asked.pending
    with pytest.raises(PendingApprovalError):
        client.conversations.messages.create(conversation_id, input="and?").result()
    answer = ApprovalCreate(approvals=[ToolReturn(tool_call_id=call.tool_call_id, tool_return="3")])
    turn = client.conversations.messages.create(conversation_id, messages=[answer], client_tools=[ADD]).result()
    assert (call.arguments, turn.text) == ('{"a": 1}', "The tools answered: 3")


def test_of_parallel_calls_only_those_that_were_kept_are_pending(client: LettaClient, conversation_id: str) -> None:
    # `parallel_tool_calls` is off by default: all calls are streamed, the first is stored.
    text = '[[call add {"a": 1}]] [[call add {"a": 2}]]'
    turn = client.conversations.messages.create(conversation_id, input=text, client_tools=[ADD]).result()
    assert [call.arguments for call in turn.pending] == ['{"a": 1}']


def test_a_call_without_arguments_is_pending(client: LettaClient, conversation_id: str) -> None:
    turn = client.conversations.messages.create(conversation_id, input="[[call add]]", client_tools=[ADD]).result()
    assert [(call.name, call.arguments) for call in turn.pending] == [("add", "")]


def test_a_failure_of_the_model_fails_the_turn(client: LettaClient, conversation_id: str) -> None:
    with pytest.raises(TurnFailed) as caught:
        client.conversations.messages.create(conversation_id, input="[[fail 429]]").result()
    assert caught.value.stop_reason == "llm_api_error"
    assert caught.value.conversation_id == conversation_id


def test_the_default_conversation_goes_with_its_agent(client: LettaClient, agent_id: str) -> None:
    turn = client.conversations.messages.create("default", agent_id=agent_id, input="[[say hi]]").result()
    assert (turn.text, turn.conversation_id, turn.agent_id) == ("hi", "default", agent_id)
    assert client.conversations.messages.list("default", agent_id=agent_id, order="desc", limit=1)


def test_a_server_without_redis_is_used_in_the_foreground() -> None:
    with FakeLetta(redis=False) as server, LettaClient(base_url=server.base_url) as client:
        agent = client.agents.create(name="a", model=HANDLE, include_base_tools=False)
        conversation = client.conversations.create(agent_id=agent.id)
        for text in ("one", "two"):
            assert client.conversations.messages.create(conversation.id, input=f"[[say {text}]]").result().text == text
        sent = [r.body["background"] for r in server.requests if r.path.endswith("/messages") and r.body]
        assert sent == [True, False, False]


@pytest.mark.parametrize("kind", [LettaClient, AsyncLettaClient])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("timeout", value) for value in (0, -1.0, math.nan, math.inf, 10**400, None, "9")),
        *(("busy_timeout", value) for value in (-1, math.nan, math.inf, None)),
        *(("max_retries", value) for value in (-1, 1.5, True, None)),
    ],
)
def test_a_limit_that_is_none_is_a_value_error_that_names_it(kind: Any, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"`{name}` is .*, not {value!r}"):
        kind(base_url=NOWHERE, **{name: value})


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        (LettaClient, httpx.AsyncClient, "an `httpx.Client` here, not AsyncClient"),
        (AsyncLettaClient, httpx.Client, "an `httpx.AsyncClient` here, not Client"),
        (LettaClient, bool, "an `httpx.Client` here, not bool"),
    ],
)
def test_an_http_client_of_the_other_kind_is_a_type_error_at_once(kind: Any, given: type, told: str) -> None:
    with pytest.raises(TypeError, match=f"`http_client` is {told}"):
        kind(base_url=NOWHERE, http_client=given())


def test_a_closed_port_is_named() -> None:
    with LettaClient(base_url=NOWHERE, max_retries=0) as client, pytest.raises(ConnectFailed, match=NOWHERE):
        client.agents.retrieve("agent-1")


async def test_the_asynchronous_client_does_the_same(async_client: AsyncLettaClient) -> None:
    agent = await async_client.agents.create(name="a", model=HANDLE, include_base_tools=False)
    made = await async_client.conversations.create(agent_id=agent.id, summary="marker-2")
    assert [c.id for c in await async_client.conversations.list(summary_search="marker-2")] == [made.id]
    async with async_client.conversations.messages.create(made.id, input="[[say Hello there]]") as stream:
        texts = [event.text async for event in stream if isinstance(event, TextDelta)]
        turn = await stream.result()
    assert "".join(texts) == turn.text == "Hello there"
    assert turn.run_id is not None
    assert (await async_client.runs.retrieve(turn.run_id)).id == turn.run_id
    assert await async_client.runs.messages(turn.run_id)
    assert (await async_client.conversations.messages.stream(made.id, run_id=turn.run_id).result()).text == turn.text
    assert (await async_client.conversations.fork(made.id)).id != made.id
    with pytest.raises(Conflict):
        await async_client.conversations.cancel(made.id)
    await async_client.conversations.delete(made.id)
    await async_client.agents.delete(agent.id)
    with pytest.raises(NotFound):
        await async_client.agents.retrieve(agent.id)


def test_one_client_serves_several_event_loops_and_keeps_none_alive(fake: FakeLetta) -> None:
    client = AsyncLettaClient(base_url=fake.base_url)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def call() -> str:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return (await client.agents.create(name="x", model=HANDLE)).name

    assert [asyncio.run(call()) for _ in range(3)] == ["x"] * 3
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_certificates_are_read_once_for_all_clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "certificates.pem"
    shutil.copy(certifi.where(), file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with LettaClient(base_url=NOWHERE):
        file.unlink()  # whoever reads it again fails
    with LettaClient(base_url=NOWHERE, max_retries=0) as client, pytest.raises(ConnectFailed):
        client.agents.retrieve("agent-1")


def test_clients_trust_whom_the_environment_names_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    LettaClient(base_url=NOWHERE).close()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "others.pem"))
    (tmp_path / "others.pem").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        LettaClient(base_url=NOWHERE)


def test_many_tasks_share_a_client(fake: FakeLetta) -> None:
    async def main() -> list[str]:
        async with AsyncLettaClient(base_url=fake.base_url) as client:
            agent = await client.agents.create(name="a", model=HANDLE, include_base_tools=False)

            async def turn(number: int) -> str:
                conversation = await client.conversations.create(agent_id=agent.id)
                text = f"[[say number {number}]]"
                return (await client.conversations.messages.create(conversation.id, input=text).result()).text

            return await asyncio.gather(*(turn(number) for number in range(10)))

    assert asyncio.run(main()) == [f"number {number}" for number in range(10)]


BAD: list[Callable[[Any], Any]] = [
    lambda c: c.agents.retrieve("42"),
    lambda c: c.agents.retrieve("agent-1/../../x"),
    lambda c: c.agents.retrieve("agent-1\n"),
    lambda c: c.conversations.retrieve("agent-1"),
    lambda c: c.conversations.retrieve("default"),
    lambda c: c.conversations.messages.list("default"),
    lambda c: c.conversations.messages.create("default", input="x"),
    lambda c: c.conversations.messages.create("conv-1"),
    lambda c: c.conversations.messages.create("conv-1", input=""),
    lambda c: c.conversations.messages.create("conv-1", input="half a character: \ud800"),
    lambda c: c.conversations.messages.create("conv-1", messages=[]),
    lambda c: c.conversations.messages.create("conv-1", messages=[], input="x"),
    lambda c: c.runs.retrieve("message-1"),
]


@pytest.mark.parametrize("call", BAD, ids=range(len(BAD)))
def test_bad_input_is_a_value_error_before_anything_is_sent(call: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError):
        call(LettaClient(base_url=NOWHERE))


METHODS = ["agents.create", "conversations.messages.list", "conversations.messages.create", "runs.retrieve"]


def _method(client: object, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


@pytest.mark.parametrize("path", METHODS)
@pytest.mark.parametrize("kind", [LettaClient, AsyncLettaClient])
def test_help_shows_a_method_by_its_name_with_parameters_and_docstring(kind: Any, path: str) -> None:
    method = _method(kind(base_url="http://host"), path)
    parameters = inspect.signature(method).parameters
    assert "self" not in parameters
    assert not {"args", "kwargs"} & parameters.keys()
    help_text = pydoc.plain(pydoc.render_doc(method))
    name = path.split(".")[-1]
    assert f"\n{name}(" in help_text.replace("\nasync ", "\n")
    assert next(iter(parameters)) in help_text
    assert inspect.getdoc(method)


@pytest.mark.parametrize("kind", [LettaClient, AsyncLettaClient])
def test_the_help_of_a_client_names_what_it_has(kind: type[LettaClient | AsyncLettaClient]) -> None:
    attributes = [name for name in vars(kind(base_url="http://host")) if not name.startswith("_")]
    documented = re.findall(r"^ +(\w+): .+", inspect.getdoc(kind) or "", re.MULTILINE)
    assert documented[: len(attributes)] == attributes


def test_calls_are_coroutine_functions_in_the_asynchronous_client_only() -> None:
    assert inspect.iscoroutinefunction(AsyncLettaClient(base_url="http://host").agents.create)
    assert not inspect.iscoroutinefunction(LettaClient(base_url="http://host").agents.create)


def test_the_models_of_a_server_are_listed(client: LettaClient) -> None:
    assert HANDLE in [model.handle for model in client.models.list()]
