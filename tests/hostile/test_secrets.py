"""The key is shown nowhere, whatever a server makes of it (F19)."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from langchain_letta import ChatLetta
from letta_adapters import AsyncLettaClient, LettaClient, errors
from letta_adapters.client.settings import Settings
from letta_adapters.exchange import Broken, BrokenKind, error_from_response, excerpt
from letta_adapters.redaction import redact
from tests.core.frames import sse, stop, text
from tests.hostile.calls import ANY, TURNS, Call, said
from tests.hostile.server import STREAM, Answer, Gone, Peer, document, head, serve, then_silence, whole

KEY = "sk-let-/Zm9v+YmFy=0123456789abcdefghijklmnop"
START = KEY[:12].lower()
CASSETTES = sorted((Path(__file__).parents[2] / "cassettes").rglob("*.yaml"))


def _shown(error: BaseException) -> str:
    """Everything that an error says, to whoever prints, logs, formats or keeps it."""
    return (said(error) + "".join(traceback.format_exception(error)) + pickle.dumps(error).decode("latin-1")).lower()


def _echoed(peer: Peer) -> str:
    return peer.header("authorization") or ""


def _frames(*frames: bytes) -> bytes:
    return STREAM + b"".join(frames)


def _refusals(sent: str) -> dict[str, bytes]:
    key = sent.removeprefix("Bearer ")
    return {
        "text": whole(f"Incorrect API key provided: {key}.".encode(), "401 Unauthorized"),
        "header": document({"detail": f"Unauthorized: {sent!r}"}, "403 Forbidden"),
        "envelope": document({"error": {"message": "no", "detail": {"headers": {"authorization": sent}}}}, "500 No"),
        "page": whole(f"<html>{' ' * 500}<pre>authorization: {sent}</pre>".encode(), "502 Bad Gateway"),
        "success": whole(f"<html>you sent {sent}".encode()),
        "reason": whole(b"{}", f"400 {key}"),
        "run id": document({"detail": "busy", "run_id": key}, "409 Conflict"),
        "code": document({"detail": {"code": key, "message": key}}, "400 Bad Request"),
        "redirect": head(f"302 {key}", location=f"http://{key[:6]}:{key}@other.test/{key}?key={key}"),
        "type": whole(b"", "404 Not Found", content_type=key, www_authenticate=sent),
        "encoding": whole(b"", content_encoding=key),
    }


def _streams(sent: str) -> dict[str, bytes]:
    key = sent.removeprefix("Bearer ")
    said = {"message_type": "error_message", "error_type": key, "message": sent, "detail": f"{sent} is not valid"}
    return {
        "error event": _frames(sse(said, event="error")),
        "late error": _frames(text("so ", 1), stop("llm_api_error"), sse(said, event="error")),
        "other error": _frames(sse({"oops": sent}, event="error")),
        "generic error": _frames(sse({**said, "detail": None}, event="error")),
        "no JSON": _frames(f"data: no JSON: {sent}\n\n".encode()),
        "cut": _frames(text("so ", 1), f"data: {sent}".encode()),
        "stop reason": _frames(text("so ", 1), sse({"message_type": "stop_reason", "stop_reason": "error", "x": sent})),
        "run id": _frames(sse({"message_type": "ping", "run_id": key, "seq_id": 1}), sse(said, event="error")),
    }


class Echo:
    """A server that repeats the key that it was sent, in one way or another."""

    def __init__(self, ways: Any, way: str) -> None:
        self._ways, self._way = ways, way
        self.heard = ""

    def __call__(self, peer: Peer) -> None:
        self.heard = _echoed(peer)
        peer.send(self._ways(self.heard)[self._way])
        raise Gone


@ANY
@pytest.mark.parametrize("way", _refusals(""))
def test_a_key_that_a_refusal_repeats_is_not_shown(way: str, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    echo = Echo(_refusals, way)
    with caplog.at_level(logging.DEBUG), serve(echo) as server:
        error = call(server.base_url, api_key=KEY)
    assert echo.heard == f"Bearer {KEY}"
    assert isinstance(error, errors.LettaError)
    assert START not in _shown(error)
    assert START not in _logged(caplog)


@TURNS
@pytest.mark.parametrize("way", _streams(""))
def test_a_key_that_a_stream_repeats_is_not_shown(way: str, turn: Call, caplog: pytest.LogCaptureFixture) -> None:
    echo = Echo(_streams, way)
    with caplog.at_level(logging.DEBUG), serve(echo) as server:
        error = turn(server.base_url, api_key=KEY)
    assert echo.heard == f"Bearer {KEY}"
    assert isinstance(error, errors.LettaError)
    assert START not in _shown(error)
    assert START not in _logged(caplog)


def _logged(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged by this package; httpx and httpcore show an answer's head as it came."""
    ours = [record for record in caplog.records if record.name.split(".")[0] not in ("httpx", "httpcore")]
    return "\n".join(f"{record.getMessage()} {record.args}" for record in ours).lower()


@ANY
@pytest.mark.parametrize("answer", [then_silence(), then_silence(STREAM)], ids=["silent", "stream"])
def test_the_key_is_not_shown_when_nothing_is_answered(
    answer: Answer, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), serve(answer) as server:
        error = call(server.base_url, api_key=KEY, timeout=0.1)
    assert START not in _shown(error)
    assert START not in "\n".join(record.getMessage() for record in caplog.records).lower()


@pytest.mark.parametrize("before", [*range(150, 210), *range(760, 810), *range(1950, 2010)])
def test_a_key_at_the_edge_of_an_excerpt_is_not_shown_by_half(before: int) -> None:
    settings = Settings.resolve("http://host", KEY, environ={})
    body = b"x" * before + KEY.encode() + b"y" * 3000
    spaced = b"x" + b" " * before + KEY.encode() + b"y" * 3000
    told = error_from_response(401, json.dumps({"detail": body.decode()}).encode(), what="GET /")
    assert settings.api_key is not None
    assert not any(START in words.lower() for words in (excerpt(body), excerpt(spaced), str(told)))


def test_a_broken_connection_does_not_repeat_a_key() -> None:
    settings = Settings.resolve("http://host", KEY, environ={})
    broken = Broken(BrokenKind.LOST, f"Illegal header value b'Bearer {KEY}'", url=settings.base_url)
    assert START not in (said(broken) + said(broken.to_error())).lower()


def test_a_key_is_hidden_as_long_as_anybody_uses_it() -> None:
    first, second = (LettaClient(base_url="http://host", api_key=KEY) for _ in range(2))
    assert redact(f"key {KEY}") == "key ***"
    first.close()
    del first
    assert redact(f"key {KEY}") == "key ***"
    assert second


def test_credentials_of_somebody_else_are_masked_in_a_header_and_words_are_left_alone() -> None:
    assert redact("authorization: Bearer abc123def456") == "authorization: Bearer ***"
    assert redact("{'proxy-authorization': 'Basic dXNlcjpwYXNz0='}") == "{'proxy-authorization': 'Basic ***'}"
    for words in ("The bearer token is missing.", "Basic authentication is not allowed.", "Bearer x"):
        assert redact(words) == words


def test_a_placeholder_for_a_key_does_not_blot_out_what_a_server_says() -> None:
    settings = Settings.resolve("http://host", "x", environ={})
    assert redact("example") == "example"
    assert settings.headers == {"authorization": "Bearer x"}


def _model() -> ChatLetta:
    return ChatLetta(agent_id="agent-1", base_url="http://host", api_key=SecretStr(KEY))


def test_the_key_is_in_no_repr_of_what_holds_it() -> None:
    model = _model()
    client, tasks = model.client, model.async_client
    holders = [model, client, tasks, vars(client), vars(tasks), vars(client.agents), Settings.resolve("http://h", KEY)]
    words = "".join(f"{holder!r} {holder!s}" for holder in holders)
    words += repr(model.model_dump()) + model.model_dump_json() + repr(vars(model))
    assert START not in words.lower()
    assert isinstance(tasks, AsyncLettaClient)


def test_a_callers_own_credentials_in_a_proxy_address_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx.Client(proxy="http://user:pa55word@127.0.0.1:1") as http:
        client = LettaClient(base_url="http://host", http_client=http, max_retries=0)
        with pytest.raises(errors.ConnectFailed) as caught:
            client.agents.retrieve("agent-1")
        assert "pa55word" not in _shown(caught.value) + repr(vars(client))


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.stem)
def test_no_cassette_has_a_header_that_authenticates(path: Path) -> None:
    words = path.read_text(encoding="utf-8").lower()
    assert not any(mark in words for mark in ("authorization", "bearer ", "cookie", "api-key", "api_key"))


def test_there_are_cassettes() -> None:
    assert CASSETTES
