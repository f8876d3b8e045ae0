"""What traces are told of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from langchain_letta.structured import ANSWER_SCHEMA

__all__ = ["traceable"]

_SECRETS = ("api_key", "anchor_key")
_LEFT_OUT = ("http_client", "http_async_client", "letta_client", ANSWER_SCHEMA)


def traceable(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a call as traces may keep them: keys hidden, and without clients, which may carry keys.

    Without the schema of an answer, too: the tool that stands for it has it already.

    LangChain passes everything that is given with a call on to traces as it is.
    """
    return {
        name: SecretStr(value) if name in _SECRETS and isinstance(value, str) else value
        for name, value in params.items()
        if name not in _LEFT_OUT
    }
