"""A connection that is cut in the middle of an answer, twice: the answer comes whole, and the turn is stored once.

Between the program and the server stands a relay that hangs up after a few pieces of the answer. Nothing in the program
knows of it. The server has to be one of yours, at an `http://` address; `where.py` tells which one it is.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from where import Place, an_agent

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.testing import Reply

QUESTION = "Name the seven days of the week."
PIECE = re.compile(rb'"message_type": ?"assistant_message"')


class Relay:
    """Hands bytes on in both directions, and cuts connections that carry an answer.

    Args:
        base_url: The server behind it.
        cuts: How many connections are cut.
        after: Pieces of an answer that a connection carries before it is cut.
    """

    def __init__(self, base_url: str, *, cuts: int, after: int) -> None:
        parts = urlsplit(base_url)
        self._behind = (parts.hostname or "", parts.port or 80)
        self._after = after
        self._left = cuts
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.made = 0

    @contextmanager
    def running(self) -> Generator[Relay, None, None]:
        """Accept connections meanwhile."""
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._behind)
                for pump, lines in ((self._up, (near, far)), (self._down, (far, near))):
                    threading.Thread(target=pump, args=lines, daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        hang_up(near, far)

    def _down(self, far: socket.socket, near: socket.socket) -> None:
        before = 0
        with suppress(OSError):
            while data := far.recv(65536):
                found = [*PIECE.finditer(data)]
                if self._left and before + len(found) >= self._after:
                    self._left -= 1
                    self.made += 1
                    near.sendall(data[: found[self._after - before - 1].end()])  # in the middle of a line
                    break
                before += len(found)
                near.sendall(data)
        hang_up(near, far)


def hang_up(*lines: socket.socket) -> None:
    """End connections, also for the thread that reads from them."""
    for line in lines:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
        line.close()


def show(place: Place) -> None:
    """Ask through a relay that cuts, and look at the server directly."""
    with Relay(place.base_url, cuts=2, after=2).running() as relay:
        model = ChatLetta(agent_id=place.agent_id, base_url=relay.base_url)
        conversation_id = ""
        print("agent  ", end=" ")
        for chunk in model.stream(QUESTION):
            print(chunk.text, end="", flush=True)
            conversation_id = chunk.response_metadata.get("letta", {}).get("conversation_id", conversation_id)
        print(f"\ncuts    {relay.made}")
    with LettaClient(base_url=place.base_url) as client:
        rows = client.conversations.messages.list(conversation_id, order="asc")
    print("stored ", ", ".join(row.message_type for row in rows[1:]))


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Play the language model on the double."""
    return Reply(text="Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.")


def main() -> None:
    """Run it."""
    with an_agent(play_model) as place:
        show(place)


if __name__ == "__main__":
    main()
