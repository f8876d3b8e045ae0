"""Server-sent events: bytes in, events out. No I/O, linear time, bounded memory.

Follows the WHATWG event-stream format as far as Letta uses it: `data` and `event` fields, comments, a byte order
mark, and LF, CR and CRLF line ends, however the bytes are cut. An event that its blank line never ended is dropped.
"""

from __future__ import annotations

from typing import NamedTuple

from letta_adapters.errors import ProtocolError

__all__ = ["MAX_EVENT_BYTES", "SSEDecoder", "ServerSentEvent"]

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Largest event that is taken, in bytes: far above any message, far below what would hurt the process."""

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event: its `event:` name (empty when there is none) and its data, still bytes."""

    event: str
    data: bytes


class SSEDecoder:
    r"""Cut a byte stream into events.

    Args:
        max_event_bytes: Largest event that is taken, in bytes.

    Example:
        >>> decoder = SSEDecoder()
        >>> decoder.feed(b'data: {"a"')
        []
        >>> decoder.feed(b': 1}\n\n')
        [ServerSentEvent(event='', data=b'{"a": 1}')]
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._line: list[bytes] = []  # pieces of the unfinished line; joined once, so a long line stays linear
        self._data: list[bytes] = []
        self._event = ""
        self._line_size = 0  # bytes of the unfinished line
        self._data_size = 0  # bytes of the unfinished event's whole lines
        self._at_start = True
        self._skip_lf = False  # the last chunk ended in CR; a LF that follows belongs to it

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and give the events that they end.

        Raises:
            ProtocolError: An event is larger than `max_event_bytes`.
        """
        if self._whole(chunk):
            return [ServerSentEvent("", chunk[6:-2])]
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        if b"\n" not in chunk and b"\r" not in chunk:
            self._keep(chunk)
            return []
        self._skip_lf = chunk.endswith(b"\r")
        lines = chunk.splitlines(keepends=True)  # of bytes: cuts at LF, CR and CRLF only
        rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        events: list[ServerSentEvent] = []
        for line in lines:
            if self._line:
                self._line.append(line)
                line = b"".join(self._line)
                self._line.clear()
                self._line_size = 0
            self._take_line(line.rstrip(b"\r\n"), events)
        if rest:
            self._keep(rest)
        return events

    def _whole(self, chunk: bytes) -> bool:
        """Whether a chunk is exactly one event of one line, as a server that flushes every event sends it."""
        return (
            chunk.startswith(b"data: ")
            and chunk.endswith(b"\n\n")
            and not (self._line or self._data or self._event or self._at_start or self._skip_lf)
            and chunk.find(b"\n") == len(chunk) - 2
            and b"\r" not in chunk
            and len(chunk) <= self._max
        )

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._line_size += len(piece)
            self._check_size()

    def _check_size(self) -> None:
        if self._line_size + self._data_size > self._max:
            raise ProtocolError(f"The server sent an event of more than {self._max} bytes.", accepted=None)

    def _take_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            self._end_event(events)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1  # an empty line is one byte too
            self._check_size()
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")

    def _end_event(self, events: list[ServerSentEvent]) -> None:
        if self._data:
            events.append(ServerSentEvent(self._event, b"\n".join(self._data)))
            self._data.clear()
        self._event = ""
        self._data_size = 0
