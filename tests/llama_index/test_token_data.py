"""What an answer looked like token by token, where it is asked for: at the engine, in its stream, and at the agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LogProb

from letta_adapters.events import FinishedTurn
from letta_adapters.testing.token_data import SGLANG
from letta_adapters.wire import Logprobs, TokenLogprob, TopLogprob, Unknown
from llama_index_letta import LettaAgent
from llama_index_letta.token_data import logprobs_of
from tests.conftest import Backend, fresh_agent
from tests.llama_index.support import ADD, Ask, MakeEngine, add, each_way, metadata_of

DEFAULT: dict[str, Any] = {"conversation_id": "default", "return_logprobs": True}
HELLO = "[[say hello there]]"
CHOSEN = [
    LogProb(token="hello ", logprob=-0.25, bytes=list(b"hello ")),
    LogProb(token="there", logprob=-0.5, bytes=list(b"there")),
]


@pytest.fixture
def sglang_id(backend: Backend) -> Iterator[str]:
    with fresh_agent(backend, model=SGLANG) as made:
        yield made


def tokens(told: dict[str, Any]) -> list[str]:
    return [one["token"] for one in told["logprobs"]["content"]]


@each_way
async def test_logprobs_are_in_the_metadata_of_a_response_and_in_its_message(ask: Ask, make_engine: MakeEngine) -> None:
    response = await ask(make_engine(**DEFAULT, top_logprobs=2), HELLO)
    assert tokens(metadata_of(response)) == ["hello ", "there"]
    assert tokens(response.message.additional_kwargs["letta"]) == ["hello ", "there"]
    assert "turns" not in metadata_of(response)


def test_the_last_of_a_stream_has_them_as_llama_index_does(make_engine: MakeEngine) -> None:
    stream = make_engine(**DEFAULT, top_logprobs=2).stream_chat(HELLO).chat_stream
    assert stream is not None
    *before, last = stream
    assert isinstance(last, ChatResponse)
    assert [[one.token for one in place] for place in last.logprobs or ()] == [
        ["hello ", "hello ~1"],
        ["there", "there~1"],
    ]
    assert [place[0] for place in last.logprobs or ()] == CHOSEN
    assert [one.logprobs for one in before if isinstance(one, ChatResponse) and one.logprobs] == []


@each_way
async def test_the_tokens_of_all_rounds_are_told_and_each_tool_runs_once(
    ask: Ask, make_engine: MakeEngine, sglang_id: str
) -> None:
    ran: list[int] = []

    def count(a: int, b: int) -> int:
        """Count."""
        ran.append(a)
        return a + b

    engine = make_engine(agent_id=sglang_id, return_token_ids=True, tools=[count])
    response = await ask(engine, '[[call count {"a": 1, "b": 2}]] [[next]] [[say three]]')
    assert (str(response), ran) == ("three", [1])
    turns = metadata_of(response)["turns"]
    assert [turn["role"] for turn in turns] == ["assistant", "tool", "assistant"]
    assert '"message": "3"' in turns[1]["content"]
    assert turns[2]["output_ids"] == [sum(map(ord, "three"))]
    assert tokens(metadata_of(response)) == [str(sum(map(ord, "three")))]


@each_way
async def test_whoever_does_not_ask_is_told_nothing(ask: Ask, make_engine: MakeEngine) -> None:
    response = await ask(make_engine(conversation_id="default"), HELLO)
    assert not {"logprobs", "turns"} & metadata_of(response).keys()
    assert not {"logprobs", "turns"} & response.message.additional_kwargs["letta"].keys()


def test_more_tokens_than_a_place_has_are_refused_at_once(make_engine: MakeEngine) -> None:
    with pytest.raises(ValueError, match="top_logprobs"):
        make_engine(**DEFAULT, top_logprobs=21).chat(HELLO)
    with pytest.raises(ValueError, match="return_logprobs"):
        LettaAgent(agent_id="agent-1", base_url="http://letta.test", top_logprobs=2)


async def test_an_agents_answer_has_them_beside_its_anchor(backend: Backend, agent_id: str) -> None:
    fields: dict[str, Any] = {"agent_id": agent_id, "base_url": backend.base_url, **DEFAULT}
    agent: Any  # what awaiting a run gives has no type in LlamaIndex
    async with LettaAgent(tools=[add], **fields) as agent:
        output = await agent.run(f"{ADD} [[next]] {HELLO}")
        assert tokens(output.response.additional_kwargs["letta"]) == ["hello ", "there"]
        again = await agent.run("[[say bye]]")
        assert tokens(again.response.additional_kwargs["letta"]) == ["bye"]


async def test_the_model_of_an_agent_has_them_as_llama_index_does(backend: Backend, sglang_id: str) -> None:
    async with LettaAgent(agent_id=sglang_id, base_url=backend.base_url, return_token_ids=True) as agent:
        response = await agent.llm.achat([ChatMessage(HELLO)])
        ids = [sum(map(ord, one)) for one in ("hello ", "there")]
        assert response.logprobs == [
            [LogProb(token=str(id), logprob=-number / 4)] for number, id in enumerate(ids, start=1)
        ]
        (turn,) = response.message.additional_kwargs["letta"]["turns"]
        assert turn["output_ids"] == ids


def test_the_chosen_token_comes_first_once_and_what_cannot_be_read_is_none() -> None:
    hi = TopLogprob(token="Hi", logprob=-0.5)
    ho = TopLogprob(token="Ho", logprob=-0.1)
    told = Logprobs(content=[TokenLogprob(token="Hi", logprob=-0.5, top_logprobs=[ho, hi])])
    turn = FinishedTurn(conversation_id="conv-1", parts=(), stop_reason="end_turn", logprobs=told)
    assert [[one.token for one in place] for place in logprobs_of(turn) or ()] == [["Hi", "Ho"]]
    for other in (None, Unknown(raw=[1]), Logprobs()):
        bare = FinishedTurn(conversation_id="conv-1", parts=(), stop_reason="end_turn", logprobs=other)
        assert logprobs_of(bare) is None
