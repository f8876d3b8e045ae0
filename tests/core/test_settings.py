"""Where the server is: arguments, environment, and what is refused; the key is never shown."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.client.settings import CLOUD_URL, Settings
from letta_adapters.errors import AuthenticationError, LettaError
from tests.conftest import NOWHERE

KEY = "sk-very-secret"


def _refuse(_: httpx.Request) -> httpx.Response:
    return httpx.Response(401, json={"detail": "Unauthorized"})


def test_an_argument_wins_over_the_environment_and_the_environment_over_the_default() -> None:
    environ = {"LETTA_BASE_URL": "http://env:1", "LETTA_API_KEY": "env-key"}
    assert Settings.resolve("http://arg:1", "arg-key", environ=environ).base_url == "http://arg:1"
    assert Settings.resolve(environ=environ).base_url == "http://env:1"
    assert Settings.resolve(None, "key", environ={}).base_url == CLOUD_URL
    assert Settings.resolve(None, "arg-key", environ=environ).headers == {"authorization": "Bearer arg-key"}
    assert Settings.resolve(environ=environ).headers == {"authorization": "Bearer env-key"}


@pytest.mark.parametrize("key", [None, "", SecretStr("")])
def test_without_a_key_nothing_authenticates(key: str | SecretStr | None) -> None:
    assert Settings.resolve("http://host", key, environ={"LETTA_API_KEY": ""}).headers == {}


def test_without_a_key_nothing_is_sent_to_letta_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTA_BASE_URL", raising=False)
    monkeypatch.delenv("LETTA_API_KEY", raising=False)
    sent: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(401)

    with httpx.Client(transport=httpx.MockTransport(keep)) as http:
        with pytest.raises(AuthenticationError, match="LETTA_BASE_URL"):
            LettaClient(http_client=http).agents.retrieve("agent-1")
        with pytest.raises(AuthenticationError, match="LETTA_BASE_URL"):
            LettaClient(http_client=http).conversations.messages.create("conv-1", input="x").result()
    assert sent == []


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_BASE_URL", "http://from-env:8283/")
    assert LettaClient().base_url == "http://from-env:8283"


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("http://localhost:8283", "http://localhost:8283"),
        ("http://localhost:8283/", "http://localhost:8283"),
        ("  https://host/prefix//  ", "https://host/prefix"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("HTTP://host", "HTTP://host"),
    ],
)
def test_a_url_that_can_be_called_is_taken(url: str, taken: str) -> None:
    assert Settings.resolve(url, environ={}).base_url == taken


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8283",
        "host",
        "ftp://host",
        "http://",
        "http:///path",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "http://host/?a=1",
        "http://host/#a",
        "   ",
        "http://ho\nst",
        "http://ho\x00st",
        "http://ho st",
        "http://xn--/",
    ],
)
def test_a_url_that_cannot_be_called_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Settings.resolve(url, environ={})


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pa55word@host",
        "http://pa55word@host",
        "http://:pa55word@host",
        "ftp://user:pa55word@host",
        "user:pa55word@host",
        "http:/user:pa55word@host",
        "https://host/?key=pa55word",
        "https://host/#pa55word",
        "http://user:pa55word@host:port",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        Settings.resolve(url, environ={})
    assert "pa55word" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_key_is_in_no_repr() -> None:
    client = LettaClient(base_url="http://host", api_key=KEY)
    assert KEY not in repr(Settings.resolve("http://host", KEY, environ={}))
    assert KEY not in repr(client) + str(client) + repr(vars(client))


def _chain(error: BaseException | None) -> str:
    said = ""
    while error is not None:
        said += f"{error!r} {error} {getattr(error, 'object', '')}"
        error = error.__cause__ or error.__context__
    return said


def test_the_key_is_in_no_error() -> None:
    http = httpx.Client(transport=httpx.MockTransport(_refuse))
    client = LettaClient(base_url="http://host", api_key=KEY, http_client=http)
    with pytest.raises(LettaError) as caught:
        client.agents.retrieve("agent-1")
    assert KEY not in _chain(caught.value)


@pytest.mark.parametrize("kind", [LettaClient, AsyncLettaClient])
@pytest.mark.parametrize("name", ["api_key", "base_url"])
@pytest.mark.parametrize("value", [4711, b"4711", ["4711"]], ids=["int", "bytes", "list"])
def test_a_key_or_an_address_that_is_no_text_is_a_type_error_that_does_not_repeat_it(
    kind: Any, name: str, value: object
) -> None:
    with pytest.raises(TypeError, match=f"`{name}` is a text.*, not {type(value).__name__}") as caught:
        kind(**{"base_url": NOWHERE, name: value})
    assert "4711" not in _chain(caught.value)


@pytest.mark.parametrize("tail", ["\n", "\r\n", "\x00", "é", " ключ"], ids=["LF", "CRLF", "NUL", "latin", "cyrillic"])
def test_a_key_that_no_header_can_carry_is_told_without_showing_it(tail: str) -> None:
    # A key out of a file often ends in a line end; h11's error for it quotes the whole header.
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises((LettaError, ValueError)) as caught:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with LettaClient(base_url=url, api_key=KEY + tail, max_retries=0, timeout=0.1) as client:
            client.agents.retrieve("agent-1")  # nobody answers at this port
    assert KEY not in _chain(caught.value)
    assert not isinstance(caught.value, UnicodeError)


def test_a_line_end_around_a_key_does_no_harm() -> None:
    assert Settings.resolve("http://host", f" {KEY}\n", environ={}).headers == {"authorization": f"Bearer {KEY}"}
