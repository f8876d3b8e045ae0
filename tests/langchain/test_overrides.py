"""The fields that LangChain itself reads off a model can be given with a call, too."""

from __future__ import annotations

import pytest
from langchain_core.caches import InMemoryCache

from langchain_letta import ChatLetta
from tests.langchain.support import Ask, blocking_and_async, each_way
from tests.langchain.test_fields import Limiter, Tokens

pytestmark = pytest.mark.timeout(60)

ONE_TWO = "[[say one two]]"


@each_way
async def test_a_rate_limiter(ask: Ask, model: ChatLetta) -> None:
    limiter = Limiter()
    assert (await ask(model.bind(rate_limiter=limiter), ONE_TWO)).text == "one two"
    assert limiter.taken == 1


@each_way
async def test_the_version_of_the_content(ask: Ask, model: ChatLetta) -> None:
    (block,) = (await ask(model.bind(output_version="v1"), ONE_TWO)).content
    assert isinstance(block, dict)
    assert (block["type"], block["text"]) == ("text", "one two")


@blocking_and_async
async def test_a_cache(ask: Ask, model: ChatLetta) -> None:
    kept = InMemoryCache()
    first, again, other = [await ask(model.bind(cache=cache), "hello") for cache in (kept, kept, False)]
    assert (first.id == again.id, first.id == other.id) == (True, False)


async def test_that_nothing_is_streamed(model: ChatLetta) -> None:
    (only,) = model.stream(ONE_TWO, disable_streaming=True)
    assert [only.text, *[chunk.text async for chunk in model.astream(ONE_TWO, disable_streaming=True)]] == [
        "one two",
        "one two",
    ]


async def test_that_tokens_are_told(model: ChatLetta) -> None:
    tokens = Tokens()
    await model.ainvoke(ONE_TWO, {"callbacks": [tokens]}, streaming=True)
    assert "".join(tokens.heard) == "one two"


def test_a_stream_with_such_a_field_is_still_a_stream(model: ChatLetta) -> None:
    assert [chunk.text for chunk in model.stream(ONE_TWO, rate_limiter=Limiter())] == ["one ", "two", ""]


def test_the_model_itself_stays_as_it_was(model: ChatLetta) -> None:
    limiter = Limiter()
    model.invoke("hello", rate_limiter=limiter, cache=InMemoryCache())
    model.invoke("hello")
    assert (model.rate_limiter, model.cache, limiter.taken) == (None, False, 1)
