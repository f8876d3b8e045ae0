"""A loopback server that answers every request with a prepared stream: `python -m benchmarks.server` prints its port.

What to send is in the path: `/…/conv-KIND-COUNT-FRAMING/messages`, such as `conv-text-5000-chunked`. FRAMING is
`chunked` (one HTTP chunk for each event, as Letta sends), `plain` (one body) or `idle` (the end comes after two
seconds of silence). It runs in a process of its own, so that its work is not measured.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO

from benchmarks.frames import body

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
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=[connection], daemon=True).start()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A client that has seen enough hangs up.
    with suppress(ConnectionError), connection, connection.makefile("rb") as requests:
        while path := _read_request(requests):
            found = re.search(r"conv-(\w+)-(\d+)-(\w+)/", path)
            assert found is not None, path
            kind, count, framing = found.groups()
            first, rest = _answer(kind, int(count), framing)
            connection.sendall(first)
            if framing == "idle":
                threading.Event().wait(IDLE)
            connection.sendall(rest)


def _read_request(requests: IO[bytes]) -> str:
    """Read one request whole; gives its path, or nothing at the end of the connection."""
    path = requests.readline().decode().split(" ")[1:2]
    length = 0
    while line := requests.readline().strip():
        name, _, value = line.lower().partition(b":")
        length = int(value) if name == b"content-length" else length
    requests.read(length)
    return path[0] if path else ""


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
