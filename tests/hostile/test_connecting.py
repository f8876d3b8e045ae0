"""Servers that cannot be reached: refused, unknown, or of a certificate that nobody signed (F01)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from letta_adapters import errors
from tests.conftest import NOWHERE
from tests.core.frames import DONE, ping, stop, text, usage
from tests.hostile.calls import ANY, TURNS, WAYS, Call, both, said, slept
from tests.hostile.certificates import Certificate, make_certificate
from tests.hostile.server import STREAM, Gone, Peer, document, once, serve

KEY = "sk-let-0123456789abcdef"
AGENT = {"id": "agent-1", "name": "a"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder: Path = tmp_path_factory.mktemp("certificate")
    return make_certificate(folder)


def _assert_not_reached(error: Any, url: str, *, attempts: int) -> None:
    assert type(error) is errors.ConnectFailed
    assert error.accepted is False
    assert url in str(error)
    assert "`base_url`" in str(error)
    assert KEY not in said(error)
    assert len(slept) == attempts - 1
    assert all(0.1 <= seconds <= 8 for seconds in slept)


@ANY
def test_a_closed_port_is_tried_a_few_times(call: Call) -> None:
    _assert_not_reached(call(NOWHERE, api_key=KEY, max_retries=3), NOWHERE, attempts=4)


@ANY
def test_a_host_that_nobody_knows_is_not_reached(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    _assert_not_reached(call("http://letta.invalid", api_key=KEY), "http://letta.invalid", attempts=2)


@ANY
@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid", ".invalid"])
def test_a_host_that_no_name_server_can_be_asked_for_is_not_reached(host: str, call: Call) -> None:
    _assert_not_reached(call(f"http://{host}", api_key=KEY), f"http://{host}", attempts=2)


@ANY
def test_a_certificate_that_nobody_signed_is_not_trusted(call: Call, certificate: Certificate) -> None:
    with serve(once(document(AGENT)), context=certificate.server) as server:
        error = call(server.base_url, api_key=KEY)
    _assert_not_reached(error, server.base_url, attempts=2)
    assert "certificate" in str(error).lower()
    assert server.heads == []


@ANY
def test_a_server_that_speaks_no_tls_is_not_reached(call: Call) -> None:
    with serve(once(), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        url = server.base_url.replace("http:", "https:")
        _assert_not_reached(call(url, api_key=KEY), url, attempts=2)


def _trusting(certificate: Certificate, way: int) -> AbstractContextManager[Any]:
    return httpx.Client(verify=certificate.trusting) if way == 0 else _Asynchronous(certificate)


class _Asynchronous(AbstractContextManager[Any]):
    """An asynchronous client; the loop that it belongs to ends inside the call, and its connections with it."""

    def __init__(self, certificate: Certificate) -> None:
        self._client = httpx.AsyncClient(verify=certificate.trusting)

    def __enter__(self) -> httpx.AsyncClient:
        return self._client

    def __exit__(self, *_: object) -> None:
        asyncio.run(self._client.aclose())


def _runs(turn: list[bytes]) -> Callable[[Peer], None]:
    """Cut the first answer without a word, and go on after the last number in the second."""

    def answer(peer: Peer) -> None:
        after = json.loads(peer.body).get("starting_after", 0)
        peer.send(STREAM, *(turn[after:] if after else turn[:2]))
        raise Gone

    return answer


@pytest.mark.parametrize("way", [0, 1], ids=WAYS)
def test_a_turn_over_tls_that_is_cut_is_resumed(way: int, certificate: Certificate) -> None:
    frames = [ping(1), text("one ", 2), text("two", 3), stop(), usage(), DONE]
    turn = both(lambda client: client.conversations.messages.create("conv-1", input="Hi").result())[way]
    with serve(_runs(frames), context=certificate.server) as server, _trusting(certificate, way) as http:
        finished = turn(server.base_url, api_key=KEY, http_client=http)
    assert finished.text == "one two"
    assert len(server.heads) == 2


@TURNS
def test_a_proxy_that_refuses_is_a_server_that_is_not_reached(turn: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    with serve(once(refusal)) as proxy:
        for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("https_proxy", proxy.base_url.replace("http://", "http://user:pa55word@"))
        error = turn("https://letta.invalid", api_key=KEY)
        assert all(request.startswith(b"CONNECT letta.invalid:443") for request in proxy.heads)
    _assert_not_reached(error, "https://letta.invalid", attempts=2)
    assert "pa55word" not in said(error)
    assert not any(KEY.encode() in request for request in proxy.heads)
