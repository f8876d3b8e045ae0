"""A loopback server that answers every request with something prepared: `python -m benchmarks.server` prints its port.

What to send is in the path: `/…/conv-KIND-COUNT-FRAMING/messages`, such as `conv-text-5000-chunked`. FRAMING is
`chunked` (one HTTP chunk for each event, as Letta sends), `plain` (one body) or `idle` (the end comes after two
seconds of silence); anything else is as `chunked`. A GET of messages gives a page of stored ones, COUNT in all, and a
conversation of its own gives whose it is. It runs in a process of its own, so that its work is not measured.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO
from urllib.parse import parse_qs, urlsplit

from benchmarks.frames import body, stored

IDLE = 2.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


@contextmanager
def running() -> Generator[str, None, None]:
    """Run the server; gives its URL."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.server"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=[connection], daemon=True).start()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A client that has seen enough hangs up.
    with suppress(ConnectionError), connection, connection.makefile("rb") as requests:
        while request := _read_request(requests):
            method, path = request
            found = re.search(r"conv-(\w+)-(\d+)-(\w+)/messages", path)
            if found is None:
                connection.sendall(_as_json({"id": "conv-text-1-chunked", "agent_id": "agent-1"}))
            elif method == "GET":
                connection.sendall(_page(path, int(found[2])))
            else:
                first, rest = _answer(found[1], int(found[2]), found[3])
                connection.sendall(first)
                if found[3] == "idle":
                    threading.Event().wait(IDLE)
                connection.sendall(rest)


def _read_request(requests: IO[bytes]) -> tuple[str, str] | None:
    """Read one request whole; gives its method and path, or nothing at the end of the connection."""
    words = requests.readline().decode().split(" ")
    length = 0
    while line := requests.readline().strip():
        name, _, value = line.lower().partition(b":")
        length = int(value) if name == b"content-length" else length
    requests.read(length)
    return (words[0], words[1]) if len(words) > 1 else None


def _page(path: str, count: int) -> bytes:
    query = parse_qs(urlsplit(path).query)
    after = query.get("after", ["message--1"])[0].removeprefix("message-")
    # Nothing follows the message of a streamed answer.
    first = int(after) + 1 if re.fullmatch(r"-?\d+", after) else count
    return _as_json([stored(number) for number in range(first, count)[: int(query["limit"][0])]])


def _as_json(value: object) -> bytes:
    data = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)


@cache
def _answer(kind: str, count: int, framing: str) -> tuple[bytes, bytes]:
    events = body(kind, count)
    if framing == "plain":
        whole = b"".join(events)
        return HEAD + b"content-length: %d\r\n\r\n" % len(whole), whole
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    return HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks[0], b"".join([*chunks[1:], b"0\r\n\r\n"])


if __name__ == "__main__":
    main()
