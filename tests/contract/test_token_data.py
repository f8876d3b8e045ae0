"""What an answer says of its tokens: where a server heeds what it is asked for, and what the client makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from letta_adapters import LettaClient
from letta_adapters.testing.token_data import SGLANG
from letta_adapters.wire import ClientTool, LettaResponse, Logprobs, TokenLogprob, TokenTurn, TopLogprob
from tests.conftest import Backend, fresh_agent
from tests.contract.build import ADD, user
from tests.contract.wire import Wire

pytestmark = pytest.mark.scripted("its model tells tokens")

HELLO = TopLogprob(token="hello ", logprob=-0.25, bytes=list(b"hello "))
THERE = TopLogprob(token="there", logprob=-0.5, bytes=list(b"there"))
SAY = "[[think hm]] [[say hello there]]"


@pytest.fixture
def client(backend: Backend) -> Iterator[LettaClient]:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as made:
        yield made


@pytest.fixture
def sglang_id(backend: Backend) -> Iterator[str]:
    """An agent whose model is asked for tokens and gives tokens."""
    with fresh_agent(backend, model=SGLANG) as made:
        yield made


def tokens(answer: LettaResponse) -> list[tuple[TopLogprob, list[str]]]:
    """The tokens of an answer, and the texts of those that were likely in their places."""
    assert isinstance(answer.logprobs, Logprobs)
    assert answer.logprobs.refusal is None
    return [
        (TopLogprob(token=one.token, logprob=one.logprob, bytes=one.bytes), [top.token for top in one.top_logprobs])
        for one in answer.logprobs.content or ()
    ]


def told(answer: LettaResponse) -> list[tuple[str, str | None, list[int] | None]]:
    assert all(isinstance(turn, TokenTurn) for turn in answer.turns or ())
    return [(t.role, t.tool_name or t.content, t.output_ids) for t in answer.turns or () if isinstance(t, TokenTurn)]


def ids(*texts: str) -> list[int]:
    return [sum(map(ord, text)) for text in texts]


def test_an_agents_endpoint_tells_the_tokens_of_a_whole_answer_where_they_are_asked_for(
    client: LettaClient, agent_id: str
) -> None:
    answer = client.agents.messages.create(agent_id, input=SAY, return_logprobs=True, top_logprobs=2)
    assert tokens(answer) == [(HELLO, ["hello ", "hello ~1"]), (THERE, ["there", "there~1"])]
    alone = client.agents.messages.create(agent_id, input=SAY, return_logprobs=True)
    assert tokens(alone) == [(HELLO, []), (THERE, [])]
    assert client.agents.messages.create(agent_id, input=SAY).logprobs is None
    assert client.agents.messages.create(agent_id, input=SAY, return_token_ids=True).turns is None


def test_the_tokens_are_those_of_the_last_call_of_the_model(client: LettaClient, agent_id: str) -> None:
    steps = "[[say one]] [[call nothing]] [[next]] [[say two]]"
    answer = client.agents.messages.create(agent_id, input=steps, return_logprobs=True)
    assert [token.token for token, _ in tokens(answer)] == ["two"]
    waits = client.agents.messages.create(
        agent_id, input='[[call add {"a": 1}]]', client_tools=[ClientTool(**ADD)], return_logprobs=True
    )
    assert waits.logprobs == Logprobs(content=None, refusal=None)


def test_a_conversations_endpoint_takes_the_question_and_does_not_heed_it(
    client: LettaClient, wire: Wire, conversation_id: str
) -> None:
    asked = {"return_logprobs": True, "top_logprobs": 2, "return_token_ids": True}
    body = {"messages": [user(SAY)], "streaming": False, **asked}
    path = f"/v1/conversations/{conversation_id}/messages"
    answer = wire.http.post(path, json=body).raise_for_status().json()
    assert (answer["logprobs"], answer["turns"]) == (None, None)
    turn = wire.post(conversation_id, user(SAY), **asked)
    assert not [frame for frame in turn.frames if {"logprobs", "turns"} & frame.keys()]


def test_a_model_that_speaks_in_tokens_tells_the_ids_of_every_call_and_what_tools_gave_between(
    client: LettaClient, sglang_id: str
) -> None:
    steps = '[[say one]] [[call nothing {"a": 1}]] [[next]] [[say two words]]'
    answer = client.agents.messages.create(sglang_id, input=steps, return_token_ids=True)
    said = 'one<tool_call>{"name": ', '"nothing", ', '"arguments": ', '{"a": ', "1}}</tool_call>"
    assert [(role, told) for role, _, told in told(answer)] == [
        ("assistant", ids(*said)),
        ("tool", None),
        ("assistant", ids("two ", "words")),
    ]
    assert [content for _, content, _ in told(answer)] == ["one", "nothing", "two words"]
    assert (answer.turns or [])[2] == TokenTurn(
        role="assistant",
        content="two words",
        output_ids=ids("two ", "words"),
        output_token_logprobs=[[-0.25, ids("two ")[0], None], [-0.5, ids("words")[0], None]],
        tool_name=None,
    )
    assert answer.logprobs == Logprobs(
        content=[
            TokenLogprob(token=str(id), logprob=-number / 4, bytes=None, top_logprobs=[])
            for number, id in enumerate(ids("two ", "words"), start=1)
        ],
        refusal=None,
    )
    assert (answer.usage.completion_tokens, answer.usage.cached_input_tokens) == (7, None)


def test_such_a_model_tells_them_unasked_in_every_whole_answer(
    client: LettaClient, backend: Backend, sglang_id: str
) -> None:
    conversation_id = client.conversations.create(agent_id=sglang_id).id
    hello = [("assistant", "hello there", ids("hello ", "there"))]
    assert told(client.agents.messages.create(sglang_id, input=SAY)) == hello
    whole = client.conversations.messages.create(conversation_id, input=SAY, streaming=False, return_logprobs=True)
    assert told(whole) == hello
    assert [message.message_type for message in whole.messages] == ["assistant_message"]  # its thoughts are lost
    other = client.conversations.messages.create(
        conversation_id, input=SAY, streaming=False, override_model=backend.handle
    )
    assert other.turns is None


def test_asked_for_logprobs_alone_it_tells_the_texts_of_tokens_and_no_ids(client: LettaClient, sglang_id: str) -> None:
    answer = client.agents.messages.create(sglang_id, input=SAY, return_logprobs=True)
    assert tokens(answer) == [(HELLO, []), (THERE, [])]
    assert answer.turns is None


@pytest.mark.parametrize(("token_by_token", "counted"), [(True, 20), (False, 2)])
def test_a_stream_of_it_tells_none(client: LettaClient, sglang_id: str, token_by_token: bool, counted: int) -> None:
    conversation_id = client.conversations.create(agent_id=sglang_id).id
    turn = client.conversations.messages.create(
        conversation_id, input=SAY, stream_tokens=token_by_token, return_token_ids=True
    ).result()
    assert (turn.text, turn.logprobs, turn.token_turns) == ("hello there", None, None)
    assert turn.usage is not None
    assert turn.usage.completion_tokens == counted
