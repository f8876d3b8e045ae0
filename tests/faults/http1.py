"""HTTP/1.1 as far as a relay needs it: heads and bodies over asyncio's streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_PIECE = 64 * 1024
_FRAMING = (b"transfer-encoding", b"content-length")


class Ended(Exception):
    """The peer closed the connection between two messages."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A start line and the header lines below it, as they came."""

    start: bytes
    lines: tuple[bytes, ...]

    def get(self, name: bytes) -> bytes | None:
        """The value of a header, its name given in lower case."""
        return next((value.strip() for key, _, value in map(_split, self.lines) if key.lower() == name), None)

    @property
    def chunked(self) -> bool:
        return (self.get(b"transfer-encoding") or b"").lower() == b"chunked"

    def wire(self, *, start: bytes | None = None) -> bytes:
        """The bytes to pass on."""
        return b"".join([start or self.start, *self.lines, b"\r\n"])

    def wire_chunked(self) -> bytes:
        """The bytes to pass on before a body whose length is nobody's promise any more."""
        kept = [line for line in self.lines if _split(line)[0].lower() not in _FRAMING]
        return b"".join([self.start, *kept, CHUNKED, b"\r\n"])


def _split(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Read a head.

    Raises:
        Ended: There is none.
        asyncio.IncompleteReadError: The connection ends in the middle.
    """
    try:
        block = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        raise Ended from None
    start, *lines = block[:-2].splitlines(keepends=True)
    return Head(start=start, lines=tuple(lines))


async def read_body(head: Head, reader: asyncio.StreamReader, *, to_end: bool = False) -> AsyncGenerator[bytes, None]:
    """Give the pieces of a body as they come; one without any framing reaches `to_end` of the connection, or is none.

    Raises:
        asyncio.IncompleteReadError: The connection ends before the body does.
    """
    if head.chunked:
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            yield (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    elif (length := head.get(b"content-length")) is not None:
        missing = int(length)
        while missing:
            piece = await reader.read(min(missing, _PIECE))
            if not piece:
                raise asyncio.IncompleteReadError(b"", missing)
            missing -= len(piece)
            yield piece
    elif to_end:
        while piece := await reader.read(_PIECE):
            yield piece


def as_chunk(data: bytes) -> bytes:
    """Frame a piece of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
