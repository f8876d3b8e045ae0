"""What an answer looked like token by token: asked for whole, and told in the metadata."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from langchain_core.messages import messages_from_dict, messages_to_dict

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.errors import ConversationBusy, ProtocolError, TurnInterrupted
from letta_adapters.testing import FakeLetta
from letta_adapters.testing.token_data import SGLANG
from tests.conftest import Backend, fresh_agent
from tests.langchain.readback import Reader
from tests.langchain.support import Ask, each_way, human, letta, new_gate

TOKEN = {
    "token": "Hi",
    "logprob": -0.25,
    "bytes": [72, 105],
    "top_logprobs": [{"token": "Ho", "logprob": -2.0, "bytes": None}],
}
TURNS = [
    {"role": "assistant", "output_ids": [1, 2], "output_token_logprobs": [[-0.1, 1, None], [-0.2, 2, None]]},
    {"role": "tool", "content": "3", "tool_name": "add"},
]
ANSWER: dict[str, Any] = {
    "messages": [
        {"message_type": "assistant_message", "id": "message-1", "run_id": "run-1", "otid": "o", "content": "Hi"},
    ],
    "stop_reason": {"message_type": "stop_reason", "stop_reason": "end_turn"},
    "usage": {"message_type": "usage_statistics", "total_tokens": 3, "step_count": 1},
    "logprobs": {"content": [TOKEN], "refusal": None},
    "turns": TURNS,
}
"""An answer as the reference has it; which servers give it is told at `ChatLetta.return_logprobs`."""

CONVERSATION = "conv-00000000-0000-4000-8000-000000000001"


class Server:
    """A server that gives one answer to every message, and has an empty list of them."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.sent: list[dict[str, Any]] = []
        self.transport = httpx.MockTransport(self._respond)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.sent.append(json.loads(request.content))
            return httpx.Response(200, content=self.answer, headers={"content-type": "application/json"})
        return httpx.Response(200, json=[])

    def model(self, **fields: Any) -> ChatLetta:
        return ChatLetta(
            agent_id="agent-00000000-0000-4000-8000-000000000001",
            conversation_id=CONVERSATION,
            base_url="http://letta.test",
            http_client=httpx.Client(transport=self.transport),
            http_async_client=httpx.AsyncClient(transport=self.transport),
            **fields,
        )


@each_way
async def test_logprobs_and_turns_are_in_the_metadata(ask: Ask) -> None:
    server = Server(json.dumps(ANSWER).encode())
    model = server.model(return_logprobs=True, top_logprobs=1, return_token_ids=True)
    (answer,) = messages_from_dict(messages_to_dict([await ask(model, "Hello")]))
    assert answer.text == "Hi"
    assert answer.response_metadata["logprobs"] == ANSWER["logprobs"]
    assert letta(answer)["turns"] == TURNS
    (sent,) = server.sent
    asked = {name: sent[name] for name in ("return_logprobs", "top_logprobs", "return_token_ids", "streaming")}
    assert asked == {"return_logprobs": True, "top_logprobs": 1, "return_token_ids": True, "streaming": False}


def test_whoever_does_not_ask_for_them_gets_a_stream() -> None:
    server = Server(json.dumps(ANSWER).encode())
    with pytest.raises(ProtocolError):  # nothing streams here
        server.model(max_retries=0).invoke("Hello")
    assert server.sent[0]["streaming"] is True
    assert "return_logprobs" not in server.sent[0]


def test_an_answer_that_cannot_be_read_is_looked_for_and_never_asked_for_again() -> None:
    server = Server(json.dumps(ANSWER).encode()[:-20])
    with pytest.raises(ProtocolError, match="none of a turn"):
        server.model(return_logprobs=True, timeout=0.05).invoke("Hello")
    assert len(server.sent) == 1


@each_way
async def test_an_answer_that_outlasts_the_timeout_is_read_back_and_never_asked_for_again(ask: Ask) -> None:
    """Nobody can resume a turn that is answered whole, and the server does not say which conversation its run is of."""
    gate = new_gate()
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
        agent = client.agents.create(name="a", model="vllm/scripted")
        place: dict[str, Any] = {
            "conversation_id": client.conversations.create(agent_id=agent.id).id,
            "base_url": fake.base_url,
        }
        hasty = ChatLetta(**place, return_logprobs=True, timeout=0.3, busy_timeout=0)
        asked = [human(f"[[hold {gate}]] [[say hello]]")]
        for _ in range(2):
            with pytest.raises((TurnInterrupted, ConversationBusy)):
                await ask(hasty, asked)
        fake.open_gate(gate)
        answer = await ask(ChatLetta(**place, return_logprobs=True), asked)
        assert answer.text == "hello"
        assert [r.method for r in fake.requests if r.path.endswith("/messages")].count("POST") == 1
        with Reader(fake.base_url) as reader:
            assert reader.story(place["conversation_id"]) == [("user", asked[0].text), ("assistant", "hello")]


@each_way
async def test_a_server_that_does_not_heed_it_answers_all_the_same_and_once(
    ask: Ask, backend: Backend, agent_id: str, reader: Reader
) -> None:
    model = ChatLetta(agent_id=agent_id, return_logprobs=True, return_token_ids=True, base_url=backend.base_url)
    answer = await ask(model, "[[think hm]] [[say hello]]")
    assert (answer.text, letta(answer)["stop_reason"]) == ("hello", "end_turn")
    assert "logprobs" not in answer.response_metadata
    assert "turns" not in letta(answer)
    told = reader.story(letta(answer)["conversation_id"])
    assert [line for line in told if line[0] == "user"] == [("user", "[[think hm]] [[say hello]]")]
    assert (await ask(model, [answer, ("user", "[[say bye]]")])).text == "bye"


@each_way
async def test_a_default_conversation_tells_the_tokens_of_every_answer(
    ask: Ask, backend: Backend, agent_id: str, reader: Reader
) -> None:
    fields: dict[str, Any] = {"conversation_id": "default", "base_url": backend.base_url}
    model = ChatLetta(agent_id=agent_id, return_logprobs=True, top_logprobs=2, **fields)
    answer = await ask(model, "[[say hello there]]")
    assert answer.text == "hello there"
    logprobs = answer.response_metadata["logprobs"]
    assert [(one["token"], one["logprob"]) for one in logprobs["content"]] == [("hello ", -0.25), ("there", -0.5)]
    assert [one["token"] for one in logprobs["content"][1]["top_logprobs"]] == ["there", "there~1"]
    follow_up = await ask(model, [answer, ("user", "[[say bye]]")])
    assert [one["token"] for one in follow_up.response_metadata["logprobs"]["content"]] == ["bye"]
    told = reader.story("default", agent_id=agent_id)
    assert [line for line in told if line[0] == "user"] == [("user", "[[say hello there]]"), ("user", "[[say bye]]")]


@each_way
async def test_a_model_that_speaks_in_tokens_tells_the_ids_of_every_call(ask: Ask, backend: Backend) -> None:
    with fresh_agent(backend, model=SGLANG) as agent_id:
        model = ChatLetta(agent_id=agent_id, return_token_ids=True, base_url=backend.base_url)
        answer = await ask(model, "[[say one]] [[call nothing]] [[next]] [[say two]]")
        turns = letta(answer)["turns"]
        assert [turn["role"] for turn in turns] == ["assistant", "tool", "assistant"]
        assert (turns[1]["tool_name"], turns[2]["output_ids"]) == ("nothing", [sum(map(ord, "two"))])
        assert turns[2]["output_token_logprobs"] == [[-0.25, sum(map(ord, "two")), None]]
