"""Where the server is and how to reach it: arguments first, then the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from letta_adapters.errors import AuthenticationError
from letta_adapters.redaction import hide

__all__ = ["CLOUD_URL", "Settings"]

CLOUD_URL = "https://api.letta.com"
"""Letta Cloud, the server when nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A server's address and key.

    Args:
        base_url: `http://` or `https://` and a host, without a path's last slash.
        api_key: The bearer key; a self-hosted server may need none.
    """

    base_url: str
    api_key: SecretStr | None = None

    def __post_init__(self) -> None:
        if self.api_key is not None:
            hide(self.api_key)

    def __getstate__(self) -> dict[str, object]:
        return {"base_url": self.base_url, "api_key": None}  # a pickle is written to disks and caches

    @classmethod
    def resolve(
        cls,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Fill in what is missing from `LETTA_BASE_URL` and `LETTA_API_KEY`.

        Raises:
            TypeError: The URL or the key is no text.
            ValueError: The URL is not one that can be called.
        """
        environ = os.environ if environ is None else environ
        url = base_url or environ.get("LETTA_BASE_URL") or CLOUD_URL
        key = _checked_key(api_key or environ.get("LETTA_API_KEY") or "")
        return cls(base_url=_checked_url(url), api_key=key)

    def check_key(self) -> None:
        """Raise `AuthenticationError` before anything is sent to Letta Cloud without a key.

        Whoever forgot to name a server of their own should not find out from somebody else's.
        """
        if self.base_url == CLOUD_URL and self.api_key is None:
            raise AuthenticationError(
                "There is no key for Letta Cloud, so nothing was sent.",
                status=401,
                hint="Pass `api_key` (LETTA_API_KEY), or `base_url` (LETTA_BASE_URL) for a server of your own.",
            )

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate a request."""
        return {"authorization": f"Bearer {self.api_key.get_secret_value()}"} if self.api_key else {}


def _checked_url(text: object) -> str:
    """Check an address; what may hold a password is not repeated in the error."""
    if not isinstance(text, str):
        raise TypeError(f"`base_url` is a text, not {type(text).__name__}.")
    text = text.strip()
    if any(mark in text for mark in "@?#"):
        raise ValueError("`base_url` takes no credentials, no query and no fragment; the key goes to `api_key`.")
    if not _can_be_called(text):
        raise ValueError(f"`base_url` must begin with http:// or https:// and name a host, not {text!r}.")
    if _path(text).endswith("/v1"):
        raise ValueError("`base_url` is the server's address without `/v1`.")
    return text.rstrip("/")


def _path(text: str) -> str:
    """The path of an address, without its last slash."""
    return httpx.URL(text).path.rstrip("/")


def _can_be_called(text: str) -> bool:
    try:
        url = httpx.URL(text)
        host = url.host
    except (httpx.InvalidURL, UnicodeError):
        return False
    return (
        url.scheme in ("http", "https")
        and bool(host)
        and not any(mark in host for mark in "% ")
        and (url.port is None or 0 < url.port < 65536)
    )


def _checked_key(key: object) -> SecretStr | None:
    """Check that a header can carry the key; a key out of a file often ends in a line end."""
    key = key.get_secret_value() if isinstance(key, SecretStr) else key
    if not isinstance(key, str):
        raise TypeError(f"`api_key` is a text or a `SecretStr`, not {type(key).__name__}.")
    text = key.strip()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("`api_key` has characters that no HTTP header can carry.")
    return SecretStr(text) if text else None
