"""A server on a loopback port that says whatever a test tells it to, byte by byte."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 30.0


class Gone(Exception):
    """The client closed the connection."""


@dataclass(kw_only=True)
class Peer:
    """One connection of a client: what it asked for, and a way to answer."""

    line: socket.socket
    head: bytes = b""
    body: bytes = b""

    def receive(self) -> bool:
        """Take the next request; tell whether there was one."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._more()
            if not piece:
                return False
            data += piece
        self.head, _, self.body = data.partition(b"\r\n\r\n")
        length = int(self.header("content-length") or 0)
        while len(self.body) < length:
            self.body += self._more()
        return True

    def header(self, name: str) -> str | None:
        """One header of the request."""
        for row in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = row.partition(":")
            if key.lower() == name:
                return value.strip()
        return None

    @property
    def path(self) -> str:
        """What was asked for."""
        return self.head.split(b" ")[1].decode()

    def send(self, *pieces: bytes) -> None:
        """Send bytes as they are."""
        try:
            for piece in pieces:
                self.line.sendall(piece)
        except OSError as error:
            raise Gone from error

    def flood(self, piece: bytes) -> None:
        """Send the same bytes for ever, until the client is gone."""
        while True:
            self.send(piece)

    def wait_until_gone(self) -> None:
        """Say nothing more until the client hangs up."""
        while self._more():
            pass

    def _more(self) -> bytes:
        try:
            return self.line.recv(65536)
        except OSError:
            return b""


Answer = Callable[[Peer], None]


@dataclass(kw_only=True)
class Hostile:
    """A running server: where it is, what it was asked, and the connections that it saw."""

    base_url: str
    heads: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0


@contextmanager
def serve(
    answer: Answer, *, context: ssl.SSLContext | None = None, greeting: bytes = b""
) -> Generator[Hostile, None, None]:
    """Answer every request of every connection with `answer`; it may close, hang or send anything.

    A `greeting` is sent before anything is asked.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    scheme = "https" if context else "http"
    server = Hostile(base_url=f"{scheme}://127.0.0.1:{listening.getsockname()[1]}")
    open_lines: set[socket.socket] = set()
    threads: list[threading.Thread] = []

    def talk(line: socket.socket) -> None:
        with contextlib.suppress(Gone, OSError, ssl.SSLError), line:
            if context:
                line = context.wrap_socket(line, server_side=True)
            with line:
                peer = Peer(line=line)
                peer.send(greeting)
                while peer.receive():
                    server.heads.append(peer.head)
                    answer(peer)

    def accept() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            server.connections += 1
            line.settimeout(PATIENCE)
            open_lines.add(line)
            threads.append(threading.Thread(target=talk, args=(line,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join(PATIENCE)
        for line in open_lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE)


def head(status: str = "200 OK", *, close: bool = True, **headers: str) -> bytes:
    """The head of an answer; without a length its body ends with the connection."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if close:
        named["connection"] = "close"
    rows = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{rows}\r\n".encode("latin-1")


def whole(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer, with its length."""
    named = {"content_type": "application/json", "content_length": str(len(body)), **headers}
    return head(status, close=True, **named) + body


def document(value: Any, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer of JSON."""
    return whole(json.dumps(value).encode(), status, **headers)


STREAM = head(content_type="text/event-stream")


def once(*pieces: bytes) -> Answer:
    """Send these bytes and close."""

    def answer(peer: Peer) -> None:
        peer.send(*pieces)
        raise Gone

    return answer


def then_silence(*pieces: bytes) -> Answer:
    """Send these bytes and keep the connection open, silent."""

    def answer(peer: Peer) -> None:
        peer.send(*pieces)
        peer.wait_until_gone()
        raise Gone

    return answer
