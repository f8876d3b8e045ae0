"""How much of an answer is taken in. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from letta_adapters.errors import ProtocolError
from letta_adapters.redaction import redact

__all__ = ["MAX_ANSWER_BYTES", "Intake"]

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Largest answer that is no stream, in bytes: far above a page of messages, far below what would hurt the process."""

_MAX_ERROR_BYTES = 64 * 1024
"""How much of an error answer is read; what is said after that helps nobody."""

_PIECE = 64 * 1024


class Intake:
    """How much of an answer is taken, and whether it can be read at all.

    A server may send anything. Only a stream may be without end: its decoder bounds the events.

    Args:
        status: The HTTP status.
        headers: The headers, names in any case.
        stream: Whether a stream was asked for.
    """

    def __init__(self, status: int, headers: Mapping[str, str], *, stream: bool) -> None:
        self._error = not 200 <= status < 300
        self._stream = stream and headers.get("content-type", "").lower().startswith("text/event-stream")
        self._encoding = headers.get("content-encoding", "").strip()
        self._size = 0
        self.over = self._encoded and self._error  # its status says enough
        # Pieces of a few bytes would take forty times their size until they are joined.
        self.piece = None if self._stream or self._error else _PIECE

    def check(self) -> None:
        """Refuse what was compressed although nobody asked for it: a few kilobytes may stand for gigabytes."""
        if self._encoded and not self._error:
            name = redact(self._encoding)[:40]
            raise ProtocolError(
                f"The server sent an answer that is encoded as {name!r}, which was not asked for.",
                hint="Look for a proxy or gateway that compresses, and exempt the Letta server's answers.",
                accepted=None,
            )

    def take(self, piece: bytes | None) -> bytes | None:
        """Count the next bytes; the rest of a long error is left."""
        if piece is None or (self._stream and not self._error):
            return piece
        self._size += len(piece)
        if self._error:
            self.over = self._size >= _MAX_ERROR_BYTES
        elif self._size > MAX_ANSWER_BYTES:
            raise ProtocolError(f"The server sent an answer of more than {MAX_ANSWER_BYTES} bytes.", accepted=None)
        return piece

    @property
    def _encoded(self) -> bool:
        return self._encoding.lower() not in ("", "identity")
