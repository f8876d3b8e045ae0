"""Where the server is and how to reach it: arguments first, then the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

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
            ValueError: The URL is not one that can be called.
        """
        environ = os.environ if environ is None else environ
        url = base_url or environ.get("LETTA_BASE_URL") or CLOUD_URL
        key = api_key or environ.get("LETTA_API_KEY") or None
        if isinstance(key, str):
            key = SecretStr(key)
        return cls(base_url=_checked(url), api_key=key)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate a request."""
        return {"authorization": f"Bearer {self.api_key.get_secret_value()}"} if self.api_key else {}


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises when it is not a number
    except ValueError:
        raise ValueError("`base_url` is not a URL.") from None
    if parts.username or parts.password:
        raise ValueError("`base_url` must not carry credentials; pass `api_key` instead.")
    if not valid:
        raise ValueError(f"`base_url` must begin with http:// or https:// and name a host, not {url!r}.")
    if parts.query or parts.fragment:
        raise ValueError(f"`base_url` takes no query and no fragment: {url!r}.")
    return url.strip().rstrip("/")
