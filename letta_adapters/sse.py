"""Server-sent events: bytes in, events out. No I/O, linear time, bounded memory.

Follows the WHATWG event-stream format as far as Letta uses it: `data` and `event` fields, comments, a byte order
mark, and LF, CR and CRLF line ends, however the bytes are cut. An event that its blank line never ended is dropped.
"""

from __future__ import annotations

from letta_adapters.errors import ProtocolError

__all__ = ["MAX_EVENT_BYTES", "SSEDecoder", "ServerSentEvent"]

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Most bytes from the end of one event to the end of the next.

Far above any message (an image of 20 MB is 27 MB as base64), far below what would hurt the process. Comments, fields
that are ignored and empty lines count too: a server that sends nothing else would keep its reader for ever.
"""

_BOM = b"\xef\xbb\xbf"
_DATA = b"data: "
_END = b"\n\n"
_BETWEEN = _END + _DATA
_LF, _CR = b"\n\r"  # numbers: they are found in bytes ten times as fast as bytes are


ServerSentEvent = tuple[str, bytes]
"""One event: its `event:` name (empty when there is none) and its data, still bytes.

A plain tuple, because there is one for each token: to make an object of a class would take as long as to cut it out.
"""


class SSEDecoder:
    r"""Cut a byte stream into events.

    Args:
        max_event_bytes: Most bytes from the end of one event to the end of the next; else `MAX_EVENT_BYTES`.

    Example:
        >>> decoder = SSEDecoder()
        >>> decoder.feed(b'data: {"a"')
        []
        >>> decoder.feed(b': 1}\n\n')
        [('', b'{"a": 1}')]
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
        if self._skip_lf or _CR in chunk or self._size + len(self._line) + len(chunk) > self._max:
            self._take_lines(chunk, events)
            return events
        if self._line or self._data or self._event or self._at_start:
            begun, end, chunk = chunk.partition(_END)
            self._take_lines(begun + end, events)
        # Nearly all events are one line of data, and cutting between two of them is the quickest way.
        if chunk.startswith(_DATA):
            values = chunk[len(_DATA) :].split(_BETWEEN)
            whole = values[-1].endswith(_END)
            chunk = b"" if whole else _DATA + values.pop()
            if whole:
                values[-1] = values[-1][: -len(_END)]
            for value in values:
                if _LF in value:
                    self._take_lines(_DATA + value + _END, events)
                else:
                    self._size = 0
                    events.append(("", value))
        if chunk:
            self._take_lines(chunk, events)
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
            events.append((self._event, bytes(self._data)))
            self._data = bytearray()
            self._size = 0
        self._event = ""
