"""Server-sent events: bytes in, events out. No I/O, linear time, bounded memory.

Follows the WHATWG event-stream format as far as Letta uses it: `data` and `event` fields, comments, a byte order
mark, and LF, CR and CRLF line ends, however the bytes are cut. An event that its blank line never ended is dropped.
"""

from __future__ import annotations

from typing import NamedTuple

from letta_adapters.errors import ProtocolError

__all__ = ["MAX_EVENT_BYTES", "SSEDecoder", "ServerSentEvent"]

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Most bytes from the end of one event to the end of the next.

Far above any message (an image of 20 MB is 27 MB as base64), far below what would hurt the process. Comments, fields
that are ignored and empty lines count too: a server that sends nothing else would keep its reader for ever.
"""

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event: its `event:` name (empty when there is none) and its data, still bytes."""

    event: str
    data: bytes


class SSEDecoder:
    r"""Cut a byte stream into events.

    Args:
        max_event_bytes: Most bytes from the end of one event to the end of the next; else `MAX_EVENT_BYTES`.

    Example:
        >>> decoder = SSEDecoder()
        >>> decoder.feed(b'data: {"a"')
        []
        >>> decoder.feed(b': 1}\n\n')
        [ServerSentEvent(event='', data=b'{"a": 1}')]
    """

    def __init__(self, *, max_event_bytes: int | None = None) -> None:
        self._max = MAX_EVENT_BYTES if max_event_bytes is None else max_event_bytes
        # Lists of small pieces would take forty times their bytes.
        self._line = bytearray()  # the unfinished line
        self._data = bytearray()  # values of the unfinished event, each with a line end
        self._event = ""
        self._size = 0  # bytes of whole lines since the last event
        self._at_start = True
        self._skip_lf = False  # the last chunk ended in CR; a LF that follows belongs to it

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and give the events that they end.

        Raises:
            ProtocolError: More than `max_event_bytes` came without the end of an event.
        """
        events: list[ServerSentEvent] = []
        if self._skip_lf or b"\r" in chunk:
            self._take_lines(chunk, events)
            return events
        if self._line or self._data or self._event or self._at_start:
            begun, end, chunk = chunk.partition(b"\n\n")
            self._take_lines(begun + end, events)
        blocks = chunk.split(b"\n\n")
        rest = blocks.pop()
        for block in blocks:
            # Nearly all events are one line of data.
            if block.startswith(b"data: ") and b"\n" not in block and self._size + len(block) + 2 <= self._max:
                self._size = 0
                events.append(ServerSentEvent("", block[6:]))
            else:
                self._take_lines(block + b"\n\n", events)
        if rest:
            self._take_lines(rest, events)
        return events

    def _take_lines(self, chunk: bytes, events: list[ServerSentEvent]) -> None:
        """Take bytes line by line, whatever they are."""
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        if b"\n" not in chunk and b"\r" not in chunk:
            self._keep(chunk)
            return
        self._skip_lf = chunk.endswith(b"\r")
        lines = chunk.splitlines(keepends=True)  # of bytes: cuts at LF, CR and CRLF only
        rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        for line in lines:
            if self._line:
                self._line += line
                line, self._line = bytes(self._line), bytearray()
            self._take_line(line.rstrip(b"\r\n"), events)
        if rest:
            self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        self._line += piece
        self._check(len(self._line))

    def _check(self, more: int) -> None:
        if self._size + more > self._max:
            raise ProtocolError(
                f"The server sent more than {self._max} bytes without the end of an event.", accepted=None
            )

    def _take_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        self._check(len(line) + 1)
        self._size += len(line) + 1
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            self._end_event(events)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value
            self._data += b"\n"
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")

    def _end_event(self, events: list[ServerSentEvent]) -> None:
        if self._data:
            del self._data[-1]
            events.append(ServerSentEvent(self._event, bytes(self._data)))
            self._data = bytearray()
            self._size = 0
        self._event = ""
