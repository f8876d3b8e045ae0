"""LangChain's own unit suite for chat models, whole."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_letta import ChatLetta

AGENT = "agent-00000000-0000-4000-8000-000000000000"
URL = "http://localhost:8283"
KEY = "sk-let-very-secret"


@pytest.mark.filterwarnings("ignore:The function `dict` was deprecated")
class TestChatLetta(ChatModelUnitTests):
    """Nothing is switched off but `has_tool_choice`: the API has no way to force a call."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLetta

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"agent_id": AGENT, "base_url": URL}

    @property
    def has_tool_choice(self) -> bool:
        return False

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"LETTA_AGENT_ID": AGENT, "LETTA_BASE_URL": URL, "LETTA_API_KEY": KEY, "LETTA_ANCHOR_KEY": "sign"}
        return environment, {}, {"agent_id": AGENT, "base_url": URL, "api_key": KEY, "anchor_key": "sign"}

    @pytest.fixture(autouse=True)
    def _known_to_langchain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`load(…, allowed_objects="all")` takes what is on a list of langchain-core's own; as if we were on it."""
        loading = import_module("langchain_core.load.load")  # the package has a function of that name
        path = ("langchain_letta", "ChatLetta")
        monkeypatch.setitem(loading.ALL_SERIALIZABLE_MAPPINGS, path, ("langchain_letta", "chat_model", "ChatLetta"))
        monkeypatch.setattr(loading, "_default_class_paths_cache", {})
