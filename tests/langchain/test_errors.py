"""Bad input and bad servers: a typed error, soon, before anything is sent where nothing should be."""

from __future__ import annotations

import copy
import logging
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast
from uuid import uuid4

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
)
from langchain_core.tools import StructuredTool

from langchain_letta import ChatLetta
from letta_adapters.errors import ConnectFailed, NotFound, PendingApprovalError, ProtocolError
from tests.conftest import NOWHERE, Backend
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, Ask, add, blocking_and_async, each_way, human

pytestmark = pytest.mark.timeout(60)

AGENT = "agent-00000000-0000-4000-8000-000000000000"
CONVERSATION = "conv-00000000-0000-4000-8000-000000000000"
KEY = "sk-let-very-secret"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({}, "`agent_id`.*`conversation_id`"),
        ({"conversation_id": "default"}, "needs an `agent_id`"),
        ({"agent_id": "me"}, "`agent_id` must look like"),
        ({"agent_id": "agent-…"}, "`agent_id` must look like `agent-0a1b2c3d-…`, with a whole id, not 'agent-…'"),
        ({"agent_id": ""}, "`agent_id` must look like"),
        ({"agent_id": "agent-1/../x"}, "`agent_id` must look like"),
        ({"agent_id": CONVERSATION}, "`agent_id` must look like"),
        ({"conversation_id": "x"}, "`conversation_id` must look like"),
        ({"conversation_id": AGENT}, "`conversation_id` must look like"),
        ({"agent_id": AGENT, "base_url": "localhost:8283"}, "`base_url`"),
        ({"agent_id": AGENT, "base_url": "ftp://localhost"}, "`base_url`"),
        ({"agent_id": AGENT, "base_url": "http://"}, "`base_url`"),
        ({"agent_id": AGENT, "base_url": "http://localhost:port"}, "`base_url`"),
        ({"agent_id": AGENT, "base_url": f"http://me:{KEY}@localhost"}, "`base_url`"),
        ({"agent_id": AGENT, "temperatur": 1}, "temperatur"),
        ({"agent_id": AGENT, "max_steps": 0}, "max_steps"),
    ],
)
def test_a_model_that_cannot_work_is_refused_when_it_is_made(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ChatLetta(**fields)


def test_credentials_in_a_url_are_not_repeated_in_the_error() -> None:
    with pytest.raises(ValueError) as caught:
        ChatLetta(agent_id=AGENT, base_url=f"http://me:{KEY}@localhost")
    assert KEY not in str(caught.value)


def test_ids_and_url_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_AGENT_ID", AGENT)
    monkeypatch.setenv("LETTA_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LETTA_API_KEY", KEY)
    model = ChatLetta()
    assert (model.agent_id, model.base_url) == (AGENT, "http://127.0.0.1:1")
    assert model.api_key is not None and model.api_key.get_secret_value() == KEY


def part(**fields: Any) -> HumanMessage:
    return HumanMessage(content=[{"type": "text", "text": "look"}, cast("Any", fields)])


BAD_INPUT: dict[str, tuple[list[BaseMessage], str]] = {
    "no message": ([], "empty"),
    "only system messages": ([SystemMessage("Be brief."), SystemMessage("Be kind.")], "only system"),
    "audio": ([part(type="audio", base64="AAAA", mime_type="audio/wav")], "part 1 of message 0.*'audio'"),
    "audio by openai": (
        [part(type="input_audio", input_audio={"data": "AAAA", "format": "wav"})],
        "part 1 of message 0.*'audio'",
    ),
    "pdf": ([part(type="file", base64="AAAA", mime_type="application/pdf")], "part 1 of message 0.*'file'"),
    "video": ([human("one"), part(type="video", url="https://x.test/a.mp4")], "part 1 of message 1.*'video'"),
    "an unknown part": ([part(type="smell", value="roses")], "part 1 of message 0.*'smell'"),
    "a picture without a type": ([part(type="image", base64="AAAA")], "mime_type"),
    "a picture without data": ([part(type="image", mime_type="image/png")], "part 1 of message 0"),
    "an unknown role": ([ChatMessage(role="narrator", content="once")], "'narrator'"),
    "no message at all": ([RemoveMessage(id="1")], "RemoveMessage"),
}


@blocking_and_async
@pytest.mark.parametrize(("messages", "match"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
async def test_bad_input_is_refused_before_anything_is_sent(
    ask: Ask, messages: list[BaseMessage], match: str, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    with pytest.raises(ValueError, match=match):
        await ask(model, messages)
    assert reader.conversations(agent_id) == []


@each_way
async def test_a_transcript_that_ends_with_our_own_answer_is_refused(
    ask: Ask, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    asked = human("one")
    answer = await ask(pinned, [asked])
    with pytest.raises(ValueError, match="nothing new to send"):
        await ask(pinned, [asked, answer])
    assert len(reader.story(conversation_id)) == 2


@each_way
async def test_an_unknown_agent_is_not_found(ask: Ask, backend: Backend) -> None:
    agent = f"agent-{uuid4()}"
    with pytest.raises(NotFound) as caught:
        await ask(ChatLetta(agent_id=agent, base_url=backend.base_url), "hello")
    assert caught.value.accepted is False
    assert agent in str(caught.value)


@each_way
async def test_an_unknown_conversation_is_not_found(ask: Ask, backend: Backend) -> None:
    conversation = f"conv-{uuid4()}"
    with pytest.raises(NotFound) as caught:
        await ask(ChatLetta(conversation_id=conversation, base_url=backend.base_url), "hello")
    assert (caught.value.accepted, caught.value.conversation_id) == (False, conversation)


def test_a_system_text_for_an_unknown_conversation_is_not_found(backend: Backend) -> None:
    model = ChatLetta(conversation_id=f"conv-{uuid4()}", base_url=backend.base_url)
    with pytest.raises(NotFound):
        model.invoke([SystemMessage("Be brief."), HumanMessage("hello")])


@each_way
async def test_a_call_that_waits_and_that_the_transcript_does_not_know_is_told(
    ask: Ask, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    pinned.bind_tools(TOOLS).invoke(CALL)
    before = reader.story(conversation_id)
    with pytest.raises(PendingApprovalError) as caught:
        await ask(pinned, "hello")
    assert (caught.value.conversation_id, caught.value.accepted) == (conversation_id, False)
    assert reader.story(conversation_id) == before


@each_way
async def test_a_closed_port_is_told_with_the_url(ask: Ask) -> None:
    for target in ({"agent_id": AGENT}, {"conversation_id": CONVERSATION}):
        with pytest.raises(ConnectFailed) as caught:
            await ask(
                ChatLetta(base_url=NOWHERE, api_key=cast("Any", KEY), max_retries=1, **cast("Any", target)), "hello"
            )
        assert NOWHERE in str(caught.value)
        assert KEY not in str(caught.value)
        assert caught.value.accepted is False


class _WebSite(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        page = b"<!doctype html><title>Welcome</title>" + b"<p>words</p>" * 1000
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def website() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _WebSite) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@each_way
async def test_a_server_that_is_no_letta_server_is_told_with_an_excerpt(ask: Ask, website: str) -> None:
    for target in ({"agent_id": AGENT}, {"conversation_id": CONVERSATION}):
        with pytest.raises(ProtocolError, match="Welcome") as caught:
            await ask(ChatLetta(base_url=website, **cast("Any", target)), "hello")
        assert len(str(caught.value)) < 1000


def named(name: str) -> StructuredTool:
    return StructuredTool.from_function(lambda: "", name=name, description="A tool.")


@pytest.mark.parametrize("name", ["", "a.b", "a b", "é", "x" * 65, "send_message"])
def test_a_tool_name_that_the_api_refuses_is_refused_when_bound(name: str) -> None:
    with pytest.raises(ValueError, match="tool name"):
        ChatLetta(agent_id=AGENT).bind_tools([named(name)])


def test_two_tools_of_one_name_are_refused_with_both_named() -> None:
    with pytest.raises(ValueError, match=r"'add'.*tool 1.*tool 3"):
        ChatLetta(agent_id=AGENT).bind_tools([add, named("other"), {**openai_tool("add")}])


def openai_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "A tool.", "parameters": {}}}


def test_a_tool_that_is_no_function_is_refused_when_bound() -> None:
    with pytest.raises(ValueError, match="web_search"):
        ChatLetta(agent_id=AGENT).bind_tools([{"type": "web_search"}])


@pytest.mark.parametrize(
    "fields",
    [{"agent_id": "me"}, {}, {"agent_id": AGENT, "base_url": "x"}, {"agent_id": AGENT, "api_key": [KEY]}],
    ids=["id", "no target", "url", "type"],
)
@pytest.mark.parametrize("key", ["api_key", "anchor_key"])
def test_a_model_that_is_refused_does_not_tell_its_key(key: str, fields: dict[str, Any]) -> None:
    given: dict[str, Any] = {key: KEY, **fields}
    with pytest.raises(ValueError, match="ChatLetta") as caught:
        ChatLetta(**given)
    assert KEY not in str(caught.value) + repr(caught.value)


def test_the_key_shows_nowhere(backend: Backend, agent_id: str, caplog: pytest.LogCaptureFixture) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url, api_key=cast("Any", KEY))
    with caplog.at_level(logging.DEBUG):
        answer = model.invoke("hello")
        assert isinstance(answer, AIMessage)
        with pytest.raises(NotFound) as caught:
            model.invoke("hello", override_model="vllm/missing")
    error = caught.value
    shown = [repr(model), str(model), repr(model.client), repr(answer), repr(error), str(error), caplog.text]
    shown += [repr(model._identifying_params), repr(model._get_ls_params()), model.model_dump_json()]  # pyright: ignore[reportPrivateUsage]
    shown.append(pickle.dumps(error).decode("latin-1"))
    assert [text for text in shown if KEY in text] == []


def test_a_model_can_be_copied_deeply(backend: Backend, agent_id: str) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url)
    model.invoke("hello")
    assert copy.deepcopy(model).invoke("hello").text == "You said: hello"


def test_a_copy_for_another_server_calls_that_one(backend: Backend, agent_id: str) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url, max_retries=0)
    model.invoke("hello")
    other = model.model_copy(update={"base_url": NOWHERE})
    with pytest.raises(ConnectFailed):
        other.invoke("hello")


def test_another_server_can_be_given_with_a_call(model: ChatLetta) -> None:
    with pytest.raises(ConnectFailed):
        model.invoke("hello", base_url=NOWHERE, max_retries=0)


def test_an_argument_that_is_not_known_is_told(model: ChatLetta, caplog: pytest.LogCaptureFixture) -> None:
    model.invoke("hello", temperature=1)
    assert "'temperature'" in caplog.text
