"""Mistakes of a caller's are told by their names, before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.loop import Tool, arun_turn, astream_turn, run_turn, stream_turn
from letta_adapters.testing import FakeLetta
from tests.contract.wire import Wire
from tests.loop.support import RunTurn, add


@pytest.fixture
def untouched() -> Iterator[FakeLetta]:
    """A server that nothing must be sent to."""
    with FakeLetta() as started:
        yield started
        assert started.requests == []


class Scale:
    """As the tools of frameworks are: an object that takes whatever comes."""

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        return f"{args} {kwargs}"


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"tools": add}, r"`tools` must be a list, even of one tool \(`\[add\]`\), not function\."),
    ({"tools": Tool.from_function(add)}, "`tools` must be a list, .* not Tool"),
    ({"tools": "add"}, "`tools` must be a list, .* not str"),
    ({"tools": {"add": add}}, "`tools` must be a list, .* not dict"),
    (
        {"tools": [Scale()]},
        "'Scale' is variadic .* A tool is a function or a `Tool`. A framework's own tools go to the",
    ),
    ({"tools": [object()]}, "A tool is a function or a `Tool`, not <object .* A framework's own tools go to the"),
    ({"system_prompt": "Be brief."}, "no option 'system_prompt'. Did you mean `override_system`?"),
    ({"tol_timeout": 3}, "no option 'tol_timeout'. Did you mean `tool_timeout`?"),
    ({"colour": "red"}, "no option 'colour'\\.$"),
    ({"on_approval": True}, "`on_approval` must be a function, not True"),
    ({"on_event": True}, "`on_event` must be a function, not True"),
]


@pytest.mark.parametrize(("options", "told"), OPTIONS, ids=[str(one[1]) for one in OPTIONS])
def test_an_option_of_a_wrong_type_is_a_type_error_that_names_it(
    untouched: FakeLetta, options: dict[str, Any], told: str
) -> None:
    with LettaClient(base_url=untouched.base_url) as client, pytest.raises(TypeError, match=told):
        run_turn(client, "conv-1", "Hello", **options)
    with pytest.raises(TypeError, match=told):
        asyncio.run(arun_turn(AsyncLettaClient(base_url=untouched.base_url), "conv-1", "Hello", **options))


@pytest.mark.parametrize("stream", [stream_turn, astream_turn])
def test_a_listener_that_is_no_function_is_told(untouched: FakeLetta, stream: Callable[..., Any]) -> None:
    client = (LettaClient if stream is stream_turn else AsyncLettaClient)(base_url=untouched.base_url)
    with pytest.raises(TypeError, match="`listener` must be a function, not 'print'"):
        stream(client, "conv-1", "Hello", listener="print")


THREADS = "`run_turn` and `stream_turn`"
TASKS = "`arun_turn` and `astream_turn`"


@pytest.mark.parametrize(
    ("call", "client", "told"),
    [
        (run_turn, AsyncLettaClient, f"{THREADS} take LettaClient, not AsyncLettaClient; {TASKS} take that."),
        (stream_turn, AsyncLettaClient, f"{THREADS} take LettaClient, not AsyncLettaClient; {TASKS} take that."),
        (arun_turn, LettaClient, f"{TASKS} take AsyncLettaClient, not LettaClient; {THREADS} take that."),
        (astream_turn, LettaClient, f"{TASKS} take AsyncLettaClient, not LettaClient; {THREADS} take that."),
        (run_turn, dict, f"{THREADS} take LettaClient, not dict."),
    ],
)
def test_the_client_of_the_twin_is_a_type_error_that_names_the_right_function(
    untouched: FakeLetta, call: Callable[..., Any], client: Callable[..., Any], told: str
) -> None:
    async def awaited() -> None:
        await call(client(base_url=untouched.base_url), "conv-1", "Hello")

    with pytest.raises(TypeError) as caught:
        asyncio.run(awaited())
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"input": 5}, "`input`: Input should be a text or a list$"),
        ({"input": ["Hello"]}, r"`input\[0\]`: "),
        ({"input": [{"type": "txt"}]}, r"`input\[0\]`: Input tag 'txt'"),
        ({"messages": {"role": "user", "content": "Hello"}}, "`messages`: Input should be a valid list"),
        ({"messages": ["Hello"]}, r"`messages\[0\]`: "),
        ({"messages": [{"role": "usr", "content": "Hello"}]}, r"`messages\[0\].role`: "),
        ({"messages": [{"content": "Hello"}]}, r"`messages\[0\].role`: Field required"),
        ({"messages": [{"approvals": ["x"]}]}, r"`messages\[0\]`: 'type' is missing"),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_told_with_its_place(untouched: FakeLetta, given: dict[str, Any], told: str) -> None:
    with LettaClient(base_url=untouched.base_url) as client:
        with pytest.raises(ValueError, match=f"^The request is not one that the API takes. {told}"):
            run_turn(client, "conv-1", **given)
        with pytest.raises(ValueError, match=f"^The request is not one that the API takes. {told}"):
            client.conversations.messages.create("conv-1", **given)


def test_a_dict_is_taken_for_the_message_that_it_is(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    given: Any = [{"role": "user", "content": "Hello"}]
    assert run(conversation_id, messages=given).text == "You said: Hello"
    assert wire.story(conversation_id) == [("user_message", "Hello"), ("assistant_message", "You said: Hello")]
