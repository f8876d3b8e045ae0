"""Calls that fail: which are sent again, how long is waited, and what error comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from letta_adapters import AsyncLettaClient, LettaClient, errors
from letta_adapters.errors import ConnectionLost, LettaError

AGENT = {"id": "agent-1", "name": "a"}
Answer = httpx.Response | Exception
Call = Callable[[Any], Any]

GET: Call = lambda client: client.agents.retrieve("agent-1")  # noqa: E731
POST: Call = lambda client: client.agents.create(name="a")  # noqa: E731
DELETE: Call = lambda client: client.agents.delete("agent-1")  # noqa: E731


slept: list[float] = []
"""What the latest call waited between its attempts; nobody really sleeps."""


async def _do_not_sleep(seconds: float) -> None:
    slept.append(seconds)


def _transport(answers: list[Answer], seen: list[httpx.Request]) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = answers[min(len(seen), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return httpx.MockTransport(handle)


def blocking(call: Call, *answers: Answer, retries: int = 3) -> tuple[Any, list[httpx.Request]]:
    seen: list[httpx.Request] = []
    with httpx.Client(transport=_transport(list(answers), seen)) as http:
        client = LettaClient(base_url="http://host", http_client=http, max_retries=retries)
        client._sender._sleep = slept.append  # pyright: ignore[reportPrivateUsage]
        slept.clear()
        try:
            return call(client), seen
        except LettaError as error:
            return error, seen


def tasks(call: Call, *answers: Answer, retries: int = 3) -> tuple[Any, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    async def main() -> Any:
        async with httpx.AsyncClient(transport=_transport(list(answers), seen)) as http:
            client = AsyncLettaClient(base_url="http://host", http_client=http, max_retries=retries)
            client._sender._sleep = _do_not_sleep  # pyright: ignore[reportPrivateUsage]
            slept.clear()
            try:
                return await call(client)
            except LettaError as error:
                return error

    return asyncio.run(main()), seen


Run = Callable[..., tuple[Any, list[httpx.Request]]]
BOTH = pytest.mark.parametrize("run", [blocking, tasks])


def _json(status: int, body: Any = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body if body is not None else {"detail": "why"}, headers=named)


OK = _json(200, AGENT)
BUSY = "CONFLICT: Another request (run_id=run-1) is currently being processed"
PENDING = "CONFLICT: The agent is waiting for approval on a tool call"


@BOTH
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_json(400), errors.InvalidRequest),
        (_json(401), errors.AuthenticationError),
        (_json(403), errors.PermissionDenied),
        (_json(404), errors.NotFound),
        (_json(409, {"detail": BUSY}), errors.ConversationBusy),
        (_json(409, {"detail": PENDING}), errors.PendingApprovalError),
        (_json(409), errors.Conflict),
        (_json(410), errors.NotFound),
        (_json(422), errors.InvalidRequest),
        (_json(429, retry_after="0"), errors.RateLimited),
        (_json(500, retry_after="0"), errors.ServerError),
        (_json(503, retry_after="0"), errors.ServerError),
        (httpx.Response(502, html="<html>Bad gateway</html>", headers={"retry-after": "0"}), errors.ServerError),
        (httpx.Response(200, html="<html>Sign in</html>"), errors.ProtocolError),
        (httpx.Response(200, content=b'{"id": "agent-1"'), errors.ProtocolError),
        (_json(200, []), errors.ProtocolError),
        (httpx.Response(302, headers={"location": "http://other"}), errors.ProtocolError),
    ],
)
def test_every_answer_has_its_error(answer: httpx.Response, kind: type[LettaError], run: Run) -> None:
    error, _ = run(GET, answer)
    assert type(error) is kind
    assert "GET /v1/agents/agent-1" in str(error) or isinstance(
        error, errors.ConversationBusy | errors.PendingApprovalError
    )
    assert len(str(error)) < 1000


@BOTH
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
@pytest.mark.parametrize("call", [GET, POST])
def test_a_refusal_is_not_tried_again(call: Call, status: int, run: Run) -> None:
    # A 409 that says when to come back is a conflict in the server's database, which passes.
    headers = {} if status == 409 else {"retry_after": "0"}
    assert len(run(call, _json(status, **headers))[1]) == 1


@BOTH
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_read_is_tried_again_until_it_works(status: int, run: Run) -> None:
    agent, seen = run(GET, _json(status, retry_after="0"), _json(status, retry_after="0"), OK)
    assert agent.id == "agent-1"
    assert len(seen) == 3


@BOTH
def test_a_read_is_given_up_after_max_retries(run: Run) -> None:
    error, seen = run(GET, _json(503, retry_after="0"), retries=3)
    assert isinstance(error, errors.ServerError)
    assert len(seen) == 4


@BOTH
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_creating_is_not_tried_again_after_a_failure_of_the_server(status: int, run: Run) -> None:
    error, seen = run(POST, _json(status, retry_after="0"))
    assert isinstance(error, LettaError)
    assert len(seen) == 1


@BOTH
def test_creating_is_tried_again_when_it_was_plainly_refused_for_now(run: Run) -> None:
    agent, seen = run(POST, _json(429, retry_after="0"), OK)
    assert agent.name == "a"
    assert seen[0].content == seen[1].content


@BOTH
def test_retry_after_is_waited_for(run: Run) -> None:
    run(GET, _json(503, retry_after="17"), _json(429, retry_after="0"), OK)
    assert slept == [17, 0]


@BOTH
def test_too_long_a_retry_after_fails_at_once(run: Run) -> None:
    error, seen = run(GET, _json(429, retry_after="61"))
    assert isinstance(error, errors.RateLimited)
    assert len(seen) == 1


@BOTH
def test_without_a_retry_after_the_wait_grows(run: Run) -> None:
    run(GET, _json(503), retries=5)
    assert len(slept) == 5
    assert slept[0] <= 0.25 < slept[4] <= 8


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (httpx.ConnectError("refused"), errors.ConnectFailed),
        (httpx.ConnectTimeout("slow"), errors.ConnectFailed),
        (httpx.ReadTimeout("silent"), errors.RequestTimeout),
        (httpx.ReadError("reset"), ConnectionLost),
        (httpx.RemoteProtocolError("cut"), ConnectionLost),
        (OSError("strange"), ConnectionLost),
    ],
)
def test_a_broken_connection_is_our_error_with_its_cause(broken: Exception, kind: type[LettaError]) -> None:
    error, seen = blocking(GET, broken)
    assert type(error) is kind
    assert "http://host" in str(error)
    assert error.__cause__ is not None
    assert len(seen) == 4


def test_a_request_that_never_left_is_tried_again_even_if_it_creates() -> None:
    agent, seen = blocking(POST, httpx.ConnectError("refused"), OK)
    assert agent.id == "agent-1"
    assert len(seen) == 2


@pytest.mark.parametrize("broken", [httpx.ReadError("reset"), httpx.ReadTimeout("silent")])
def test_creating_is_not_tried_again_when_its_fate_is_unknown(broken: Exception) -> None:
    error, seen = blocking(POST, broken, OK)
    assert error.accepted is None
    assert len(seen) == 1


def test_deleting_what_a_lost_answer_already_deleted_is_no_error() -> None:
    result, seen = blocking(DELETE, httpx.ReadError("reset"), _json(404))
    assert result is None
    assert len(seen) == 2


def test_deleting_what_never_was_is_not_found() -> None:
    assert isinstance(blocking(DELETE, _json(404))[0], errors.NotFound)


@BOTH
def test_the_key_and_the_names_of_the_client_are_sent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_API_KEY", "sk-1")
    (request,) = run(GET, OK)[1]
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["user-agent"].startswith("letta-adapters/")
    assert request.headers["accept-encoding"] == "identity"


@BOTH
@pytest.mark.parametrize("more", [{}, {"limit": 3, "order": "asc"}], ids=["alone", "with others"])
def test_a_filter_of_message_types_reaches_the_server(more: dict[str, Any], run: Run) -> None:
    def call(client: Any) -> Any:
        return client.conversations.messages.list(
            "conv-1", include_return_message_types=["user_message", "assistant_message"], **more
        )

    (request,) = run(call, _json(200, []))[1]
    assert request.url.params.get_list("include_return_message_types") == ["user_message", "assistant_message"]
    assert {name: request.url.params.get(name) for name in more} == {name: str(value) for name, value in more.items()}


def test_a_prefix_in_the_base_url_is_kept() -> None:
    seen: list[httpx.Request] = []
    with httpx.Client(transport=_transport([OK], seen)) as http:
        LettaClient(base_url="http://host/letta/", http_client=http).agents.retrieve("agent-1")
    assert str(seen[0].url) == "http://host/letta/v1/agents/agent-1"


def test_a_client_of_the_callers_own_is_left_open() -> None:
    with httpx.Client(transport=_transport([OK], [])) as http:
        with LettaClient(base_url="http://host", http_client=http):
            pass
        assert not http.is_closed
