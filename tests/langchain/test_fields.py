"""The fields of a model: each can be given with a call, what the server has no place for is said to be ignored."""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from langchain.agents import factory
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.rate_limiters import BaseRateLimiter
from letta_client import AsyncLetta, Letta
from pydantic import SecretStr

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.errors import ConnectFailed, ConversationBusy, Divergence, PendingApprovalError, TurnInterrupted
from letta_adapters.testing import FakeLetta
from tests.conftest import NOWHERE
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, conversation_of, human, letta, new_gate
from tests.langchain.traps.dying import Wire, async_client, client

pytestmark = pytest.mark.timeout(60)

AGENT = "agent-00000000-0000-4000-8000-000000000000"


KEY = "sk-let-very-secret"

OWN_FIELDS = sorted(ChatLetta.model_fields.keys() - BaseChatModel.model_fields.keys())


@pytest.fixture
def fake() -> Iterator[FakeLetta]:
    with FakeLetta() as started:
        yield started


@pytest.fixture
def own(fake: FakeLetta) -> ChatLetta:
    """A model on a double of its own, whose requests can be looked at."""
    with LettaClient(base_url=fake.base_url) as opened:
        agent_id = opened.agents.create(name="tester", model="vllm/scripted").id
    return ChatLetta(agent_id=agent_id, base_url=fake.base_url, max_retries=0)


def sent(fake: FakeLetta) -> dict[str, Any]:
    """The last turn that was asked for."""
    turns = [request.body or {} for request in fake.requests if request.path.endswith("/messages")]
    return turns[-1]


def another_agent(fake: FakeLetta) -> str:
    with LettaClient(base_url=fake.base_url) as opened:
        return opened.agents.create(name="other", model="vllm/scripted").id


def another_conversation(fake: FakeLetta, agent_id: str | None) -> str:
    with LettaClient(base_url=fake.base_url) as opened:
        return opened.conversations.create(agent_id=agent_id or "").id


class Tokens(BaseCallbackHandler):
    """Hears each token."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.heard.append(token)


class Overrides:
    """What a call that gives a field does, one method for each field: each fails when the field is not heeded."""

    def __init__(self, fake: FakeLetta, model: ChatLetta, log: pytest.LogCaptureFixture) -> None:
        self.fake, self.model, self.log = fake, model, log

    def agent_id(self) -> None:
        other = another_agent(self.fake)
        assert letta(self.model.invoke("hello", agent_id=other))["agent_id"] == other

    def conversation_id(self) -> None:
        conversation = another_conversation(self.fake, self.model.agent_id)
        assert conversation_of(self.model.invoke("hello", conversation_id=conversation)) == conversation

    def base_url(self) -> None:
        with pytest.raises(ConnectFailed, match=NOWHERE):
            self.model.invoke("hello", base_url=NOWHERE)

    def api_key(self) -> None:
        self.model.invoke("hello", api_key="sk-another")
        assert self.fake.requests[-1].headers["authorization"] == "Bearer sk-another"

    def letta_client(self) -> None:
        with Letta(base_url=NOWHERE, api_key=KEY) as letta_client, pytest.raises(ConnectFailed, match=NOWHERE):
            self.model.invoke("hello", letta_client=letta_client)

    def timeout(self) -> None:
        gate = new_gate()
        with pytest.raises(TurnInterrupted):
            self.model.invoke(f"[[hold {gate}]]", timeout=0.2)
        self.fake.open_gate(gate)

    def max_retries(self) -> None:
        tries: list[httpx.Request] = []

        def refuse(request: httpx.Request) -> httpx.Response:
            tries.append(request)
            raise httpx.ConnectError("nobody there")

        with httpx.Client(transport=httpx.MockTransport(refuse)) as http, pytest.raises(ConnectFailed):
            self.model.invoke("hello", http_client=http, max_retries=1)
        assert len(tries) == 2

    def busy_timeout(self) -> None:
        gate = new_gate()
        conversation = another_conversation(self.fake, self.model.agent_id)
        stream = self.model.stream(f"[[hold {gate} 1]] [[say one two]]", conversation_id=conversation)
        next(stream)
        with pytest.raises(ConversationBusy):
            self.model.invoke("hello", conversation_id=conversation, busy_timeout=0)
        self.fake.open_gate(gate)
        assert "".join(chunk.text for chunk in stream) == "two"

    def background(self) -> None:
        self.model.invoke("hello", background=False)
        assert not sent(self.fake).get("background")

    def system_messages(self) -> None:
        self.model.invoke([SystemMessage("Be brief."), HumanMessage("hello")], system_messages="override")
        assert sent(self.fake)["override_system"] == "Be brief."

    def on_rerun(self) -> None:
        hello = human("hello")
        messages = [hello, self.model.invoke([hello]), human("one")]
        first, *others = [conversation_of(self.model.invoke(messages, on_rerun=how)) for how in ("attach", "fork")]
        assert [first] != others

    def on_divergence(self) -> None:
        hello = human("hello")
        answer = self.model.invoke([hello])
        self.model.invoke([hello, answer, human("one")])
        with pytest.raises(Divergence):
            self.model.invoke([hello, answer, human("two")], on_divergence="error")

    def ephemeral(self) -> None:
        self.model.invoke("hello", ephemeral=True)
        with Reader(self.fake.base_url) as reader:
            assert reader.conversations(self.model.agent_id or "") == []

    def anchor_key(self) -> None:
        answer = self.model.invoke("hello", anchor_key="secret")
        assert letta(answer)["signature"]

    def on_pending_approval(self) -> None:
        conversation = another_conversation(self.fake, self.model.agent_id)
        bound = self.model.bind_tools(TOOLS).bind(conversation_id=conversation)
        bound.invoke(CALL)
        with pytest.raises(PendingApprovalError):
            bound.invoke("hello", on_pending_approval="error")

    def on_abandon(self) -> None:
        gate = new_gate()
        stream = self.model.stream(f"[[hold {gate} 1]] [[say one two]]", on_abandon="cancel")
        next(stream)
        cast("Any", stream).close()
        assert any(request.path.endswith("/cancel") for request in self.fake.requests)

    def max_steps(self) -> None:
        self.model.invoke("hello", max_steps=7)
        assert sent(self.fake)["max_steps"] == 7

    def override_model(self) -> None:
        answer = self.model.invoke("hello", override_model="vllm/eager")
        assert sent(self.fake)["override_model"] == answer.response_metadata["model_name"] == "vllm/eager"

    def override_system(self) -> None:
        self.model.invoke("hello", override_system="Be terse.")
        assert sent(self.fake)["override_system"] == "Be terse."

    def include_return_message_types(self) -> None:
        answer = self.model.invoke("[[think hm]] hello", include_return_message_types=("assistant_message",))
        assert [block["type"] for block in answer.content_blocks] == ["text"]

    def client_skills(self) -> None:
        skill = {"name": "sailing", "description": "How to sail.", "location": "/skills/sailing"}
        self.model.invoke("hello", client_skills=(skill,))
        assert sent(self.fake)["client_skills"][0]["name"] == "sailing"

    def return_logprobs(self) -> None:
        self.model.invoke("hello", return_logprobs=True)
        assert (sent(self.fake)["return_logprobs"], sent(self.fake)["streaming"]) == (True, False)

    def top_logprobs(self) -> None:
        self.model.invoke("hello", return_logprobs=True, top_logprobs=3)
        assert sent(self.fake)["top_logprobs"] == 3

    def return_token_ids(self) -> None:
        self.model.invoke("hello", return_token_ids=True)
        assert (sent(self.fake)["return_token_ids"], sent(self.fake)["streaming"]) == (True, False)

    def http_client(self) -> None:
        wire = Wire(spared=9)
        with client(wire) as http:
            self.model.invoke("hello", http_client=http)
        assert wire.sent == 1

    def http_async_client(self) -> None:
        async def ask() -> int:
            async with async_client(wire := Wire(spared=9)) as http:
                await self.model.ainvoke("hello", http_async_client=http)
            return wire.sent

        assert asyncio.run(ask()) == 1

    def streaming(self) -> None:
        spelt: list[dict[str, Any]] = [{"streaming": True}, {"stream": True}]  # the latter by langchain-core
        for given in spelt:
            tokens = Tokens()
            self.model.invoke("[[say one two]]", {"callbacks": [tokens]}, **given)
            assert "".join(tokens.heard) == "one two"

    def temperature(self) -> None:
        self.model.invoke("hello", temperature=0.5)
        assert "'temperature'" in self.log.text

    def max_tokens(self) -> None:
        self.model.invoke("hello", max_tokens=5)
        assert "'max_tokens'" in self.log.text

    def stop(self) -> None:
        assert self.model.invoke("hello", stop=["said"]).text == "You said: hello"
        assert "'stop'" in self.log.text


@pytest.mark.parametrize("field", OWN_FIELDS)
def test_every_field_can_be_given_with_a_call(
    field: str, fake: FakeLetta, own: ChatLetta, caplog: pytest.LogCaptureFixture
) -> None:
    getattr(Overrides(fake, own, caplog), field)()


def test_what_a_model_ignores_it_says_once(own: ChatLetta, fake: FakeLetta, caplog: pytest.LogCaptureFixture) -> None:
    model = own.model_copy(update={"temperature": 0.0, "max_tokens": 9, "stop": ["you"]})
    for _ in range(2):
        model.invoke("hello", stop=["said"], seed=7)
        model.invoke("hello", temperature=1)
    assert [caplog.text.count(f"'{name}'") for name in ("temperature", "max_tokens", "stop", "seed")] == [1] * 4
    assert not sent(fake).keys() & {"temperature", "max_tokens", "stop", "seed"}


def test_a_model_that_is_given_nothing_to_ignore_says_nothing(own: ChatLetta, caplog: pytest.LogCaptureFixture) -> None:
    own.model_copy(update={"stop": []}).bind_tools(TOOLS, tool_choice="any").invoke("hello", stop=[])
    assert caplog.messages == []


@pytest.mark.parametrize("kind", [Letta, AsyncLetta])
def test_a_client_of_the_official_sdk_is_taken_for_its_url_and_key(kind: Any) -> None:
    letta_client = kind(base_url="http://localhost:8283", api_key=KEY)
    model = ChatLetta(agent_id=AGENT, letta_client=letta_client)
    assert (model.client.base_url, model.api_key) == ("http://localhost:8283", SecretStr(KEY))
    given = ChatLetta(agent_id=AGENT, base_url=NOWHERE, api_key=SecretStr("other"), letta_client=letta_client)
    assert (given.client.base_url, given.api_key) == (NOWHERE, SecretStr("other"))
    assert pickle.loads(pickle.dumps(model)).base_url == "http://localhost:8283"


def test_something_else_than_such_a_client_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`letta_client`.*not str"):
        ChatLetta(agent_id=AGENT, letta_client=KEY)


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_a_model_is_written_without_its_keys_and_read_with_them() -> None:
    model = ChatLetta(agent_id=AGENT, api_key=SecretStr(KEY), anchor_key=SecretStr("sign me"), max_steps=7)
    written = dumps(model)
    assert KEY not in written
    assert "sign me" not in written
    keys = {"LETTA_API_KEY": KEY, "LETTA_ANCHOR_KEY": "sign me"}
    read = load(dumpd(model), allowed_objects=[ChatLetta], valid_namespaces=["langchain_letta"], secrets_map=keys)
    assert isinstance(read, ChatLetta)
    assert read.model_dump() == model.model_dump()
    assert (read.api_key, read.anchor_key) == (SecretStr(KEY), SecretStr("sign me"))


async def test_an_async_call_makes_no_blocking_client(own: ChatLetta, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nobody asked for one")

    monkeypatch.setattr(httpx.Client, "__init__", refuse)
    assert (await own.ainvoke("hello")).text == "You said: hello"


def test_clients_and_what_is_told_are_not_written(own: ChatLetta) -> None:
    with httpx.Client() as http:
        written = dumpd(own.model_copy(update={"http_client": http}))
    assert "not_implemented" not in str(written)


def test_a_cache_of_the_whole_program_is_not_asked(own: ChatLetta, fake: FakeLetta) -> None:
    set_llm_cache(InMemoryCache())
    try:
        own.invoke("hello")
        own.invoke("hello")
    finally:
        set_llm_cache(None)
    assert len(fake.model_requests) == 2


class Limiter(BaseRateLimiter):
    """Lets everybody through and counts them."""

    def __init__(self) -> None:
        self.taken = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.taken += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


async def test_a_rate_limiter_is_asked_before_each_call(own: ChatLetta) -> None:
    limiter = Limiter()
    limited = own.model_copy(update={"rate_limiter": limiter})
    limited.invoke("hello")
    await limited.ainvoke("hello")
    list(limited.stream("hello"))
    assert [chunk async for chunk in limited.astream("hello")]
    assert limiter.taken == 4


def test_a_stream_that_is_disabled_gives_the_whole_answer(own: ChatLetta) -> None:
    (only,) = own.model_copy(update={"disable_streaming": True}).stream("[[say one two]]")
    assert only.text == "one two"


def test_a_model_that_streams_tells_each_token_to_who_listens(own: ChatLetta) -> None:
    streaming = ChatLetta(agent_id=own.agent_id, base_url=own.base_url, streaming=True)
    for model, told in ((own, ""), (streaming, "one two")):
        tokens = Tokens()
        assert model.invoke("[[say one two]]", {"callbacks": [tokens]}).text == "one two"
        assert "".join(tokens.heard) == told


def test_a_trace_names_the_agent_or_the_model_that_a_call_asks_for() -> None:
    model = ChatLetta(agent_id=AGENT, temperature=0.5, max_tokens=9)
    params = cast("Any", model)._get_ls_params
    assert params(stop=["x"]) == {"ls_provider": "letta", "ls_model_type": "chat", "ls_model_name": f"letta/{AGENT}"}
    assert params(model="openai/gpt-5")["ls_model_name"] == "openai/gpt-5"
    assert params(override_model="openai/gpt-5")["ls_model_name"] == "openai/gpt-5"


def test_langchains_name_for_another_model_is_heeded(own: ChatLetta, fake: FakeLetta) -> None:
    answer = own.invoke("hello", model="vllm/eager")
    assert sent(fake)["override_model"] == answer.response_metadata["model_name"] == "vllm/eager"


def test_a_model_says_what_it_can_do_and_which_version_it_is() -> None:
    model = ChatLetta(agent_id=AGENT)
    assert model.profile is not None
    told = {
        name: model.profile.get(name) for name in ("tool_calling", "tool_choice", "structured_output", "pdf_inputs")
    }
    assert told == {"tool_calling": True, "tool_choice": False, "structured_output": False, "pdf_inputs": False}
    assert ChatLetta(agent_id=AGENT, profile={"max_input_tokens": 9}).profile == {"max_input_tokens": 9}
    assert model.metadata is not None
    assert model.metadata["lc_versions"].keys() >= {"langchain-core", "letta-adapters"}


@pytest.mark.parametrize("handle", ["openai/gpt-5", "anthropic/claude-sonnet-4-5", "openai/gpt-4o"])
def test_no_name_of_a_model_makes_an_agent_ask_for_a_format_of_its_provider(handle: str) -> None:
    model = ChatLetta(agent_id=AGENT, override_model=handle)
    assert cast("Any", factory)._supports_provider_strategy(model) is False


def test_tokens_are_estimated_without_a_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    model = ChatLetta(agent_id=AGENT)
    assert (model.get_num_tokens(""), model.get_num_tokens("hello")) == (0, 2)
    messages = [HumanMessage("hello"), SystemMessage("Be brief.")]
    alone, with_tools = (model.get_num_tokens_from_messages([*messages], tools) for tools in (None, TOOLS))
    assert 0 < alone < with_tools


def test_a_tokenizer_of_ones_own_counts() -> None:
    model = ChatLetta(agent_id=AGENT, custom_get_token_ids=lambda text: [1] * len(text))
    assert model.get_num_tokens("hello") == 5
    assert model.get_num_tokens_from_messages([HumanMessage("hello")]) >= 5
