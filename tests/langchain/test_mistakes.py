"""Mistakes of a caller's are told when something is made, by their names."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from langchain_letta import ChatLetta, LettaMiddleware
from letta_adapters import LettaClient
from tests.conftest import NOWHERE

AGENT = "agent-00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model", "`model` is no field of ChatLetta. Did you mean `override_model`?"),
        ("system_prompt", "`system_prompt` is no field of ChatLetta. Did you mean `override_system`?"),
        ("max_retrys", "`max_retrys` is no field of ChatLetta. Did you mean `max_retries`?"),
        ("colour", "colour\n  Extra inputs are not permitted"),
    ],
)
def test_a_field_that_is_none_is_told_with_the_one_that_was_meant(name: str, told: str) -> None:
    given: dict[str, Any] = {name: "sk-secret"}
    with pytest.raises(ValidationError) as caught:
        ChatLetta(agent_id=AGENT, base_url=NOWHERE, **given)
    assert told in str(caught.value)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("given", [AGENT, None, LettaClient(base_url=NOWHERE)], ids=["str", "NoneType", "LettaClient"])
def test_a_middleware_without_a_model_of_letta_is_a_type_error(given: Any) -> None:
    with pytest.raises(TypeError, match=f"takes the `ChatLetta` of the agent, not {type(given).__name__}"):
        LettaMiddleware(given)


def test_a_middleware_takes_a_model_that_has_something_bound() -> None:
    bound: Any = ChatLetta(agent_id=AGENT, base_url=NOWHERE).bind(max_steps=3)
    assert isinstance(LettaMiddleware(bound), LettaMiddleware)
