"""LangChain's own integration suite for chat models, whole, in both modes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_letta import ChatLetta
from tests.conftest import Backend, fresh_conversation
from tests.langchain.support import fold

pytestmark = pytest.mark.timeout(60)


@pytest.mark.usefixtures("pictures_without_a_network")
class LettaSuite(ChatModelIntegrationTests):
    """What a Letta agent takes and gives.

    Switched off:

    * `has_tool_choice`: the API has no way to force a call.
    * `supports_pdf_inputs`, `supports_audio_inputs`, `supports_pdf_tool_message`: the API's content parts are text
      and images.
    * `supports_image_urls` on the real server: it fetches the picture itself, and the suite's is on the web, which
      tests do not reach.
    """

    params: dict[str, Any]
    backend: Backend

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLetta

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return self.params

    @property
    def has_tool_choice(self) -> bool:
        return False

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return not self.live

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return self.backend.handle

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[
        Literal["invoke", "stream"],
        list[Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]],
    ]:
        # A self-hosted server tells no tokens written to a cache, and there is no audio.
        return {
            "invoke": ["reasoning_output", "cache_read_input"],
            "stream": ["reasoning_output", "cache_read_input"],
        }

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self.asked(stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self.asked(stream=stream)

    def asked(self, *, stream: bool) -> AIMessage:
        model = ChatLetta(**self.params)
        return fold(model.stream("Hello")) if stream else model.invoke("Hello")

    live: bool

    @pytest.fixture(autouse=True)
    def _on_the_backend(self, request: pytest.FixtureRequest, backend: Backend, eager_agent_id: str) -> None:
        self.backend, self.live = backend, request.config.getoption("--backend") == "live"
        self.params = {"base_url": backend.base_url, **self.target(eager_agent_id)}

    @abstractmethod
    def target(self, agent_id: str) -> dict[str, str]:
        """The fields that say where the model answers."""


class TestFollowed(LettaSuite):
    """Every transcript has a conversation of its own."""

    def target(self, agent_id: str) -> dict[str, str]:
        return {"agent_id": agent_id}


class TestPinned(LettaSuite):
    """Every test has one conversation."""

    def target(self, agent_id: str) -> dict[str, str]:
        # One test asks anew, and without tools, while a call of the transcript before waits.
        return {"conversation_id": fresh_conversation(self.backend, agent_id), "on_pending_approval": "deny_all"}
