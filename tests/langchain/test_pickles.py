"""A model that was pickled: everything but the key, which is found in the environment again (F19)."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from langchain_letta import ChatLetta

KEY = "sk-let-0123456789abcdef"


def _model() -> ChatLetta:
    return ChatLetta(agent_id="agent-1", base_url="http://host", api_key=SecretStr(KEY), max_retries=7)


def test_a_pickle_holds_everything_but_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTA_API_KEY", raising=False)
    data = pickle.dumps(_model())
    again = pickle.loads(data)
    assert KEY.encode() not in data
    assert again.api_key is None
    assert again.model_dump() == _model().model_dump() | {"api_key": None}
    assert again.client.base_url == "http://host"


def test_a_model_out_of_a_pickle_takes_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(_model())
    monkeypatch.setenv("LETTA_API_KEY", "sk-let-of-this-process")
    again = pickle.loads(data)
    assert again.api_key.get_secret_value() == "sk-let-of-this-process"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, ChatLetta.model_copy])
def test_a_copy_in_the_same_process_keeps_the_key(copied: Callable[[ChatLetta], ChatLetta]) -> None:
    assert copied(_model()).api_key == SecretStr(KEY)
