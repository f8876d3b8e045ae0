"""Answers that no Letta server sends: each gives a typed error, of bounded length (F06, F07)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from letta_adapters import errors
from tests.core.frames import DONE, stop, text, usage
from tests.hostile.calls import ANY, CREATES, FOREGROUND, READS, TURNS, Call
from tests.hostile.server import STREAM, Answer, Gone, Peer, document, head, once, serve, then_silence, whole

AGENT: dict[str, Any] = {"id": "agent-1", "name": "a"}
HTML = b"<html>" + b"<p>Please sign in</p>" * 2000
FRAMES = (text("Hello", 1), stop(), usage(), DONE)

NO_ANSWERS: dict[str, bytes] = {
    "HTML": whole(HTML, content_type="text/html"),
    "HTML called JSON": whole(HTML),
    "nothing": whole(b""),
    "no content": head("204 No Content"),
    "cut JSON": whole(b'{"id": "agent-1"'),
    "deep list": whole(b"[" * 100_000 + b"]" * 100_000),
    "deep object": whole(b'{"id":' * 100_000),
    "no UTF-8": whole(b'{"id": "agent-1", "name": "\xff\xfe"}'),
    "half a surrogate pair": whole(rb'{"id": "agent-1", "name": "\ud83d"}'),
    "a number without end": whole(b'{"id": "agent-1", "name": "a", "x": ' + b"9" * 100_000 + b"}"),
    "another type": whole(b'{"id": 7, "name": ["a"]}'),
    "an id that is an address": document({**AGENT, "id": "../../../x?y=\r\nz"}),
    "a body shorter than it says": whole(b'{"id": "agent-1", "na', content_length="10"),
    "not modified": head("304 Not Modified"),
}


@READS
@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_is_a_protocol_error(answer: bytes, read: Call) -> None:
    with serve(once(answer)) as server:
        error = read(server.base_url)
    assert type(error) is errors.ProtocolError
    assert len(str(error)) < 1000


@READS
@pytest.mark.parametrize("body", [b"", b"{", b'{"id": "agent-1", "name": "'], ids=["nothing", "a brace", "half of it"])
def test_an_answer_that_ends_too_early_without_any_error_is_asked_for_again(body: bytes, read: Call) -> None:
    answers = iter([whole(body), document(AGENT)])

    def answer(peer: Peer) -> None:
        peer.send(next(answers))
        raise Gone

    with serve(answer) as server:
        assert read(server.base_url).id == "agent-1"


NO_STREAMS: dict[str, bytes] = {
    "HTML": whole(HTML, content_type="text/html"),
    "JSON": document({"messages": []}),
    "nothing": whole(b""),
    "no content": head("204 No Content"),
    "no type": head() + b"".join(FRAMES),
    "an event that is no JSON": STREAM + b"data: {\n\n",
    "an event that is HTML": STREAM + b"data: <html>\n\n",
    "a deep event": STREAM + b"data: " + b"[" * 100_000 + b"]" * 100_000 + b"\n\n",
    "a deep unknown event": STREAM + b'data: {"message_type":"x","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n",
    "no UTF-8": STREAM + b'data: {"message_type":"assistant_message","id":"m","content":"\xff"}\n\n',
    "half a surrogate pair": STREAM
    + rb'data: {"message_type":"assistant_message","id":"m","content":"\udc00"}'
    + b"\n\n",
    "a bare NUL": STREAM + b'data: {"message_type":"assistant_message","id":"m","content":"\x00"}\n\n',
    "a number without end": STREAM + b'data: {"message_type":"ping","seq_id":' + b"9" * 10_000 + b"}\n\n",
    "reversed numbers": STREAM + text("b", 5) + text("a", -3),
}


@TURNS
@pytest.mark.parametrize("answer", NO_STREAMS.values(), ids=NO_STREAMS)
def test_what_is_no_stream_is_a_protocol_error_at_once(answer: bytes, turn: Call) -> None:
    with serve(once(answer)) as server:
        error = turn(server.base_url)
    assert type(error) is errors.ProtocolError
    assert len(str(error)) < 1000
    assert len(server.heads) == 1


STRANGE: dict[str, bytes] = {
    "an unknown type": b'data: {"message_type":"hologram_message","id":"m","light":{"a":[1,null]}}\n\n',
    "no type": b'data: {"id":"m"}\n\n',
    "a list": b"data: [1, 2]\n\n",
    "null": b"data: null\n\n",
    "a number that is none": b'data: {"message_type":"ping","seq_id":NaN}\n\n',
    "infinity": b'data: {"message_type":"hologram_message","x":[Infinity,-Infinity,1e999]}\n\n',
    "a long number": b'data: {"message_type":"hologram_message","x":' + b"9" * 4000 + b"}\n\n",
    "a type of a wrong type": b'data: {"message_type":["assistant_message"]}\n\n',
    "an escaped NUL": rb'data: {"message_type":"hologram_message","x":"\u0000"}' + b"\n\n",
    "a comment that is no UTF-8": b": \xff\xfe\n\n",
    "a name that is no UTF-8": b'event: \xff\ndata: {"message_type":"ping"}\n\n',
    "a run id that is an address": b'data: {"message_type":"ping","run_id":"../../x?y#z\\r\\n"}\n\n',
    "a run id of a wrong type": b'data: {"message_type":"ping","run_id":{"a":1}}\n\n',
    "extra fields": b'data: {"message_type":"ping","colour":"red","depth":{"a":{"b":[]}}}\n\n',
    "a message without its text": b'data: {"message_type":"assistant_message","id":"m"}\n\n',
    "the same key twice": b'data: {"message_type":"ping","message_type":"hologram_message","id":"m","id":1}\n\n',
    "deep as it may be": b'data: {"message_type":"hologram_message","x":' + b"[" * 150 + b"]" * 150 + b"}\n\n",
}


@TURNS
@pytest.mark.parametrize("frame", STRANGE.values(), ids=STRANGE)
def test_a_strange_event_does_not_cost_the_answer(frame: bytes, turn: Call) -> None:
    with serve(once(STREAM, frame, *FRAMES)) as server:
        finished = turn(server.base_url)
    assert finished.text == "Hello"
    assert len(server.heads) == 1


@TURNS
def test_a_stream_of_another_spelling_is_read(turn: Call) -> None:
    answer = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream;charset=UTF-8\r\n\r\n"
    with serve(once(answer, *FRAMES)) as server:
        assert turn(server.base_url).text == "Hello"


@READS
@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 3],
    ids=["early hints", "continue"],
)
def test_what_comes_before_an_answer_is_skipped(first: bytes, read: Call) -> None:
    with serve(once(first, document(AGENT))) as server:
        assert read(server.base_url).id == "agent-1"


@READS
def test_an_old_server_that_ends_its_answer_with_the_connection_is_read(read: Call) -> None:
    with serve(once(b"HTTP/1.0 200 OK\r\n\r\n", json.dumps(AGENT).encode())) as server:
        assert read(server.base_url).id == "agent-1"


BROKEN_HTTP: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\ncontent-ty",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x-bomb: " + b"a" * 1_000_000,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"x-bomb: a\r\n" * 100_000 + b"\r\n",
    "two lengths": head(content_length="2", Content_Length="3") + b"{}",
    "a negative length": head(content_length="-1") + b"{}",
    "an unknown transfer": head(transfer_encoding="gzip") + b"{}",
    "a bad chunk": head(transfer_encoding="chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk head without end": head(transfer_encoding="chunked") + b"1" * 1_000_000,
    "a body longer than it says": whole(b"{}", content_length="100"),
}


@READS
@pytest.mark.parametrize("answer", BROKEN_HTTP.values(), ids=BROKEN_HTTP)
def test_what_is_no_http_is_a_lost_connection_and_a_read_is_tried_again(answer: bytes, read: Call) -> None:
    with serve(once(answer)) as server:
        error = read(server.base_url)
    assert type(error) is errors.ConnectionLost
    assert server.base_url in str(error)
    assert error.accepted is None
    assert len(str(error)) < 1000
    assert server.connections == 2


@CREATES
@pytest.mark.parametrize("answer", BROKEN_HTTP.values(), ids=BROKEN_HTTP)
def test_what_may_have_been_created_is_not_created_again(answer: bytes, create: Call) -> None:
    with serve(once(answer)) as server:
        error = create(server.base_url)
    assert type(error) is errors.ConnectionLost
    assert error.accepted is None
    assert server.connections == 1


@FOREGROUND
@pytest.mark.parametrize("answer", BROKEN_HTTP.values(), ids=BROKEN_HTTP)
def test_a_turn_whose_fate_is_unknown_is_interrupted_and_never_sent_again(answer: bytes, turn: Call) -> None:
    with serve(once(answer)) as server:
        error = turn(server.base_url)
    assert isinstance(error, errors.TurnInterrupted | errors.ProtocolError)
    assert error.accepted is None
    assert len(str(error)) < 1000
    assert sum(head.startswith(b"POST") for head in server.heads) <= 1


@ANY
def test_silence_is_a_typed_error(call: Call) -> None:
    with serve(then_silence()) as server:
        error = call(server.base_url, timeout=0.2, max_retries=0)
    assert isinstance(error, errors.RequestTimeout | errors.TurnInterrupted)
    assert "0.2" in str(error) or "timed out" in str(error) or "ReadTimeout" in str(error)


@TURNS
def test_one_byte_at_a_time_is_a_whole_answer(turn: Call) -> None:
    data = b"".join(FRAMES)

    def drip(peer: Peer) -> None:
        peer.send(STREAM, *(data[at : at + 1] for at in range(len(data))))
        raise Gone

    with serve(drip) as server:
        assert turn(server.base_url).text == "Hello"


@READS
def test_a_refusal_that_goes_on_for_ever_is_cut_and_keeps_its_status(read: Call) -> None:
    with serve(_endless(head("404 Not Found", content_type="text/plain"), b"no such agent " * 5000)) as server:
        error = read(server.base_url)
    assert type(error) is errors.NotFound
    assert len(str(error)) < 1000


def _endless(start: bytes, piece: bytes) -> Answer:
    def answer(peer: Peer) -> None:
        peer.send(start)
        peer.flood(piece)

    return answer
