"""What must never be shown: the API keys in use, taken out of everything that a server says.

A gateway that refuses a request may repeat its headers, so an answer can hold the key that was sent. Whatever becomes
part of an error or of a log line goes through `redact` first.
"""

from __future__ import annotations

import re
from weakref import WeakValueDictionary

from pydantic import SecretStr

__all__ = ["hide", "redact", "redact_body"]

_MASK = "***"
_SHORTEST = 4
"""Below this a key is a placeholder (`x`), and its letters are everywhere."""

_IN_USE: WeakValueDictionary[int, SecretStr] = WeakValueDictionary()
"""The keys of the clients that live, each for as long as its settings do."""

_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+(?=[^\s\"',]*\d)[^\s\"',]{8,}")
"""An authorization header, whoever's: a proxy's, or one of the caller's own HTTP client."""


def hide(secret: SecretStr) -> None:
    """Never show a key, for as long as this object lives."""
    if len(secret.get_secret_value()) >= _SHORTEST:
        _IN_USE[id(secret)] = secret


def redact(text: str) -> str:
    """Mask keys in a text."""
    for secret in list(_IN_USE.values()):
        text = text.replace(secret.get_secret_value(), _MASK)
    return _CREDENTIALS.sub(rf"\1 {_MASK}", text)


def redact_body(body: bytes) -> bytes:
    """Mask keys in bytes, before anything is cut out of them: half a key would not be found."""
    for secret in list(_IN_USE.values()):
        body = body.replace(secret.get_secret_value().encode(), _MASK.encode())
    return body
