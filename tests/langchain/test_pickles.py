"""A model or a history that was pickled: everything but the keys, which are found in the environment again (F19)."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from langchain_letta import ChatLetta, LettaChatMessageHistory
from letta_adapters.client.settings import Settings

KEY = "sk-let-0123456789abcdef"
ANCHOR_KEY = "signs-0123456789abcdef"


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


def _history() -> LettaChatMessageHistory:
    return LettaChatMessageHistory(
        conversation_id="conv-1", base_url="http://host", api_key=KEY, anchor_key=ANCHOR_KEY, page_size=50
    )


def _keys(history: LettaChatMessageHistory) -> list[str | None]:
    held = [history._connection.api_key, history._anchor_key]  # pyright: ignore[reportPrivateUsage]
    return [key.get_secret_value() if key is not None else None for key in held]


def test_a_pickle_of_a_history_holds_everything_but_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETTA_API_KEY", "LETTA_ANCHOR_KEY"):
        monkeypatch.delenv(name, raising=False)
    data = pickle.dumps(_history())
    assert KEY.encode() not in data
    assert ANCHOR_KEY.encode() not in data
    again = pickle.loads(data)
    assert _keys(again) == [None, None]
    assert again.conversation_id == "conv-1"


def test_a_history_out_of_a_pickle_takes_the_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(_history())
    monkeypatch.setenv("LETTA_API_KEY", "sk-let-of-this-process")
    monkeypatch.setenv("LETTA_ANCHOR_KEY", "signs-in-this-process")
    assert _keys(pickle.loads(data)) == ["sk-let-of-this-process", "signs-in-this-process"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_history_in_the_same_process_keeps_the_keys(
    copied: Callable[[LettaChatMessageHistory], LettaChatMessageHistory],
) -> None:
    assert _keys(copied(_history())) == [KEY, ANCHOR_KEY]


def test_a_pickle_of_a_clients_settings_has_no_key() -> None:
    data = pickle.dumps(Settings.resolve("http://host", KEY, environ={}))
    assert KEY.encode() not in data
    assert pickle.loads(data).base_url == "http://host"
