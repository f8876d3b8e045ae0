"""What the rounds of a loop looked like token by token, where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from letta_adapters import LettaClient, arun_turn, run_turn
from letta_adapters.client import AsyncLettaClient
from letta_adapters.loop import LoopResult
from letta_adapters.testing.token_data import SGLANG
from letta_adapters.wire import Logprobs, TokenTurn
from tests.conftest import Backend, fresh_agent

STEPS = '[[call add {"a": 1, "b": 2}]] [[next]] [[say three]]'


@pytest.fixture
def sglang_id(backend: Backend) -> Iterator[str]:
    with fresh_agent(backend, model=SGLANG) as made:
        yield made


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def check(result: LoopResult) -> None:
    first, last = result.turns
    assert (result.text, [execution.text for execution in result.executions]) == ("three", ["3"])
    turns = [one for one in (*(first.token_turns or ()), *(last.token_turns or ())) if isinstance(one, TokenTurn)]
    assert [one.role for one in turns] == ["assistant", "tool", "assistant"]
    assert turns[-1].output_ids == [sum(map(ord, "three"))]
    assert isinstance(last.logprobs, Logprobs)
    assert [token.logprob for token in last.logprobs.content or ()] == [-0.25]


async def test_each_round_tells_its_tokens(backend: Backend, client: LettaClient, sglang_id: str) -> None:
    where = client.conversations.create(agent_id=sglang_id).id
    check(run_turn(client, where, STEPS, tools=[add], return_token_ids=True))
    async with AsyncLettaClient(base_url=backend.base_url) as asynchronous:
        check(await arun_turn(asynchronous, where, STEPS, tools=[add], return_token_ids=True))


def test_whoever_asks_for_others_without_asking_for_any_is_told_before_anything_is_sent(client: LettaClient) -> None:
    with pytest.raises(ValueError, match="`top_logprobs` needs"):
        run_turn(client, "conv-1", "hi", top_logprobs=2)
