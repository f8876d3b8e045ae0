"""Errors of both trees at once, and what those make of them that ask again: never a second copy of a turn."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from langchain.agents import middleware
from langchain_core import exceptions as langchain
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage

from langchain_letta import ChatLetta
from langchain_letta import errors as joined
from langchain_letta.errors import in_both_trees
from letta_adapters import LettaClient
from letta_adapters import errors as core
from letta_adapters.testing import FakeLetta, Reply, reply_to
from tests.conftest import NOWHERE, Backend, fresh_agent
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, TOOLS, Ask, agent_of, asked, conversation_of, each_way, human
from tests.langchain.traps.dying import Wire, async_client, client
from tests.langchain.traps.support import Foreign, expect, runs, thread, users

pytestmark = pytest.mark.timeout(60)

AGENT = "agent-00000000-0000-4000-8000-000000000000"
FAILS_LATE = f"{CALL} [[next]] [[fail 500]]"

KINDS: dict[str, type[Exception]] = {
    "LettaError": langchain.ModelError,
    "ConnectFailed": langchain.ModelConnectionError,
    "ConnectionLost": langchain.ModelConnectionError,
    "RequestTimeout": langchain.ModelTimeoutError,
    "StatusError": langchain.ModelError,
    "InvalidRequest": langchain.ModelInvalidRequestError,
    "AuthenticationError": langchain.ModelAuthenticationError,
    "PermissionDenied": langchain.ModelPermissionDeniedError,
    "NotFound": langchain.ModelNotFoundError,
    "Conflict": langchain.ModelInvalidRequestError,
    "ConversationBusy": langchain.ModelRateLimitError,
    "PendingApprovalError": langchain.ModelInvalidRequestError,
    "RateLimited": langchain.ModelRateLimitError,
    "QuotaExceeded": langchain.ModelRateLimitError,
    "ServerError": langchain.ModelAPIError,
    "Divergence": langchain.ModelInvalidRequestError,
    "NothingToSend": langchain.ModelInvalidRequestError,
    "ProtocolError": langchain.ModelAPIError,
    "TurnInterrupted": langchain.ModelConnectionError,
    "TurnFailed": langchain.ModelAPIError,
    "ToolLoopLimit": langchain.ModelError,
}
MAY_PASS = {"ConnectFailed", "ConnectionLost", "RequestTimeout", "ConversationBusy", "RateLimited", "ServerError"} | {
    "TurnInterrupted",
    "TurnFailed",
}


def example(name: str, **known: Any) -> core.LettaError:
    kind = getattr(core, name)
    status = {"status": 418} if issubclass(kind, core.StatusError) else {}
    return kind("It went wrong.", **status, **known)


def retryable(error: BaseException) -> bool:
    assert isinstance(error, langchain.ModelError)
    return error.is_retryable


def test_every_error_of_ours_has_a_kind_of_langchains() -> None:
    assert sorted(KINDS) == sorted(core.__all__)


@pytest.mark.parametrize("name", KINDS)
def test_an_error_is_of_both_trees_and_keeps_what_it_knows(name: str) -> None:
    ours = example(name, agent_id=AGENT, run_id="run-1", hint="Wait.", detail="no", accepted=None)
    both = in_both_trees(ours)
    assert isinstance(both, type(ours))
    assert isinstance(both, KINDS[name])
    assert (str(both), both.agent_id, both.run_id) == (str(ours), AGENT, "run-1")
    for other in (pickle.loads(pickle.dumps(both)), copy.copy(both), copy.deepcopy(both), in_both_trees(both)):
        assert (type(other), str(other), other.__dict__) == (type(both), str(both), both.__dict__)


@pytest.mark.parametrize("accepted", [True, False, None])
@pytest.mark.parametrize("name", KINDS)
def test_asking_again_is_for_what_may_pass_and_was_not_taken(name: str, accepted: bool | None) -> None:
    assert retryable(in_both_trees(example(name, accepted=accepted))) is (name in MAY_PASS and accepted is False)


@pytest.mark.parametrize(
    ("told", "kind", "may_pass"),
    [
        ({"error_type": "llm_rate_limit"}, langchain.ModelRateLimitError, True),
        ({"error_type": "llm_timeout"}, langchain.ModelTimeoutError, True),
        ({"error_type": "llm_authentication"}, langchain.ModelAuthenticationError, False),
        ({"error_type": "llm_error", "detail": "INTERNAL_SERVER_ERROR: no"}, langchain.ModelAPIError, True),
        ({"error_type": "llm_error", "detail": "INVALID_ARGUMENT: no"}, langchain.ModelInvalidRequestError, False),
        (
            {"error_type": "internal_error", "detail": "CONTEXT_WINDOW_EXCEEDED: 9"},
            langchain.ContextOverflowError,
            False,
        ),
        ({"stop_reason": "context_window_overflow_in_system_prompt"}, langchain.ContextOverflowError, False),
        ({"stop_reason": "cancelled"}, langchain.ModelInvalidRequestError, False),
        ({"stop_reason": "llm_api_error"}, langchain.ModelAPIError, True),
    ],
)
def test_a_failed_turn_is_of_the_kind_that_the_server_names(
    told: dict[str, str], kind: type[Exception], may_pass: bool
) -> None:
    both = in_both_trees(core.TurnFailed("It ended.", accepted=False, **told))
    assert isinstance(both, kind)
    assert isinstance(both, core.TurnFailed)
    assert retryable(both) is may_pass


@each_way
@pytest.mark.parametrize(
    ("status", "kind", "may_pass"),
    [
        (500, langchain.ModelAPIError, True),
        (429, langchain.ModelRateLimitError, True),
        (401, langchain.ModelAuthenticationError, False),
        (400, langchain.ModelInvalidRequestError, False),
    ],
)
async def test_a_failure_of_the_agents_provider_is_told_as_what_it_is(
    ask: Ask,
    status: int,
    kind: type[Exception],
    may_pass: bool,
    pinned: ChatLetta,
    conversation_id: str,
    reader: Reader,
) -> None:
    with pytest.raises(core.TurnFailed) as caught:
        await ask(pinned, f"[[fail {status}]]")
    assert isinstance(caught.value, kind)
    assert retryable(caught.value) is may_pass
    assert reader.story(conversation_id) == []


@each_way
async def test_what_is_not_there_is_a_model_that_is_not_found(ask: Ask, backend: Backend, model: ChatLetta) -> None:
    for missing in (model.bind(override_model="no/model"), ChatLetta(agent_id=AGENT, base_url=backend.base_url)):
        with pytest.raises(langchain.ModelNotFoundError) as caught:
            await ask(missing, "hello")
        assert isinstance(caught.value, core.NotFound)
        assert not retryable(caught.value)


@each_way
async def test_a_model_that_is_missing_costs_one_conversation_and_leaves_none(
    ask: Ask, model: ChatLetta, agent_id: str, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(langchain.ModelNotFoundError):
        await ask(model.bind(override_model="no/model"), "hello")
    assert "is gone" not in caplog.text
    assert reader.conversations(agent_id) == []


@each_way
async def test_a_server_that_is_not_there_may_be_asked_again(ask: Ask) -> None:
    with pytest.raises(langchain.ModelConnectionError) as caught:
        await ask(ChatLetta(agent_id=AGENT, base_url=NOWHERE, max_retries=0), "hello")
    assert retryable(caught.value)


@each_way
async def test_a_conversation_that_is_busy_may_be_asked_again(
    ask: Ask, backend: Backend, pinned: ChatLetta, conversation_id: str
) -> None:
    gate = f"gate-{uuid4().hex}"
    stream = pinned.stream(f"[[hold {gate} 1]] [[say one two]]")
    next(stream)
    with pytest.raises(langchain.ModelRateLimitError) as caught:
        await ask(pinned.model_copy(update={"busy_timeout": 0.0}), "hello")
    assert isinstance(caught.value, core.ConversationBusy)
    assert retryable(caught.value)
    backend.open_gate(gate)
    assert "".join(chunk.text for chunk in stream) == "two"


@pytest.fixture
def cramped(backend: Backend) -> Iterator[ChatLetta]:
    """A model whose agent has more memory than its context window holds."""
    blocks = [{"label": "human", "value": "They like long words. " * 500}]
    with fresh_agent(backend, memory_blocks=blocks, context_window_limit=130) as agent_id:
        yield ChatLetta(agent_id=agent_id, base_url=backend.base_url)


@each_way
async def test_a_prompt_that_does_not_fit_is_an_overflow_of_the_context(
    ask: Ask, cramped: ChatLetta, reader: Reader
) -> None:
    with pytest.raises(langchain.ContextOverflowError) as caught:
        await ask(cramped, "hello")
    assert isinstance(caught.value, core.TurnFailed)
    assert (caught.value.accepted, retryable(caught.value)) == (True, False)
    assert "memory blocks" in str(caught.value)
    assert users(reader, caught.value.conversation_id or "") == ["hello"]


class Witness(BaseCallbackHandler):
    """Counts the calls of a model, and keeps what went wrong."""

    def __init__(self) -> None:
        self.calls = 0
        self.errors: list[BaseException] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.calls += 1

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self.errors.append(error)


def with_retries(model: ChatLetta) -> Any:
    """An agent that asks again as LangChain does it by default: where the error says that this is safe."""
    retry = middleware.ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False, on_failure="error")
    return agent_of(model, list(TOOLS), middleware=[retry])


def test_what_was_taken_is_not_asked_for_again(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    witness = Witness()
    with pytest.raises(core.TurnFailed) as caught:
        with_retries(model).invoke(asked(FAILS_LATE), {**thread(), "callbacks": [witness]})
    assert not retryable(caught.value)
    (conversation,) = reader.conversations(agent_id)
    assert (witness.calls, len(runs(reader, conversation)), len(users(reader, conversation))) == (2, 2, 1)
    assert [type(error) for error in witness.errors] == [joined.TurnFailed]


def test_what_was_not_taken_is_asked_for_again(pinned: ChatLetta, conversation_id: str, reader: Reader) -> None:
    witness = Witness()
    with pytest.raises(core.TurnFailed):
        with_retries(pinned).invoke(asked("[[fail 500]]"), {"callbacks": [witness]})
    assert (witness.calls, reader.story(conversation_id)) == (3, [])


def test_what_would_fail_again_is_not_asked_for_again(pinned: ChatLetta) -> None:
    witness = Witness()
    with pytest.raises(langchain.ModelAuthenticationError):
        with_retries(pinned).invoke(asked("[[fail 401]]"), {"callbacks": [witness]})
    assert witness.calls == 1


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
def test_a_turn_whose_end_was_not_seen_is_not_asked_for_again(
    ids: bool, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    witness, wire = Witness(), Wire(error=httpx.ReadError)
    with client(wire) as http:
        lossy = pinned.model_copy(update={"http_client": http, "max_retries": 0})
        with pytest.raises(core.TurnInterrupted) as caught:
            with_retries(lossy).invoke(
                {"messages": [human("one") if ids else ("user", "one")]}, {"callbacks": [witness]}
            )
    assert (retryable(caught.value), witness.calls) == (False, 1)
    pinned.invoke("two")
    assert users(reader, conversation_id) == ["one", "two"]


@pytest.fixture
def recovering(request: pytest.FixtureRequest) -> Iterator[FakeLetta]:
    """A server whose language model fails twice and then does not."""
    if request.config.getoption("--backend") == "live":
        pytest.skip("needs a provider that fails and then recovers, and the scripted one does as each text says")
    failures = [Reply(fail=500), Reply(fail=429)]
    with FakeLetta(model=lambda messages: failures.pop() if failures else reply_to(messages)) as fake:
        yield fake


def test_a_turn_that_an_agent_asks_for_until_it_succeeds_is_stored_once(recovering: FakeLetta) -> None:
    with LettaClient(base_url=recovering.base_url) as letta_client:
        agent_id = letta_client.agents.create(name="recovering").id
    witness = Witness()
    model = ChatLetta(agent_id=agent_id, base_url=recovering.base_url)
    messages = with_retries(model).invoke(asked("one"), {"callbacks": [witness]})["messages"]
    with Reader(recovering.base_url) as reader:
        assert reader.story(conversation_of(messages[-1])) == story_of(messages)
        assert reader.conversations(agent_id) == [conversation_of(messages[-1])]
    assert [type(error) for error in witness.errors] == [joined.TurnRateLimited, joined.TurnFailed]


async def test_another_model_that_takes_over_leaves_one_copy_of_the_turn(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    other = Foreign(says=[AIMessage("I am another one.")])
    wire = Wire(error=httpx.ReadError)
    question = human("one")
    async with async_client(wire) as http:
        lossy = pinned.model_copy(update={"http_async_client": http, "max_retries": 0})
        chain: Any = lossy.with_fallbacks([other], exceptions_to_handle=(langchain.ModelError,))
        answer = await chain.ainvoke([question])
    assert answer.text == "I am another one."
    following = pinned.invoke([question, answer, human("two")])
    assert users(reader, conversation_id) == ["one", "two"]
    assert following.text == "You said: two"


def test_a_stubborn_chain_stores_a_lost_turn_once(model: ChatLetta, reader: Reader) -> None:
    wire = Wire(error=httpx.ReadError)

    class Mends(BaseCallbackHandler):
        def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
            wire.mend()

    messages: list[Any] = [human("one")]
    with client(wire) as http:
        lossy: Any = model.model_copy(update={"http_client": http, "max_retries": 0})
        chain = lossy.with_retry(retry_if_exception_type=(langchain.ModelError,), wait_exponential_jitter=False)
        messages.append(chain.invoke(messages, {"callbacks": [Mends()]}))
    expect(reader, messages)
