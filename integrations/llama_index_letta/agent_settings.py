"""What can be set of a `LettaAgent`, and how it is reached: all but the steps of its workflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, cast

from llama_index.core.agent.workflow.base_agent import WORKFLOW_KWARGS, BaseWorkflowAgent
from llama_index.core.tools import BaseTool
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator
from typing_extensions import Self

from letta_adapters.anchoring import Target
from letta_adapters.client import AsyncLettaClient
from letta_adapters.client.places import check_place
from letta_adapters.client.settings import Settings
from letta_adapters.delivery_steps import TurnOptions
from letta_adapters.pending import OnPendingApproval
from letta_adapters.policies import OnDivergence, Policies, SystemPolicy
from letta_adapters.steps import OnAbandon
from letta_adapters.wire import ClientSkill, MessageType
from llama_index_letta.agent_approvals import OnApproval
from llama_index_letta.agent_llm import AgentLLM
from llama_index_letta.agent_turns import Speaker
from llama_index_letta.tools import as_llama_tools

__all__ = ["AgentSettings"]


def _from_env(name: str) -> Callable[[], str | None]:
    return lambda: os.environ.get(name) or None


def _secret_from_env(name: str) -> Callable[[], SecretStr | None]:
    return lambda: SecretStr(os.environ[name]) if os.environ.get(name) else None


class AgentSettings(BaseWorkflowAgent):
    """A `LettaAgent` without its steps."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", use_attribute_docstrings=True)

    agent_id: str | None = Field(default_factory=_from_env("LETTA_AGENT_ID"))
    """The agent; needed without `conversation_id` and for `conversation_id="default"`. Else `LETTA_AGENT_ID`."""

    conversation_id: str | None = None
    """The conversation of all runs."""

    base_url: str | None = Field(default_factory=_from_env("LETTA_BASE_URL"))
    """The server; else `LETTA_BASE_URL`, else Letta Cloud."""

    api_key: SecretStr | None = Field(default_factory=_secret_from_env("LETTA_API_KEY"), exclude=True)
    """The bearer key; else `LETTA_API_KEY`. A self-hosted server may need none."""

    idle_timeout: float = Field(default=90.0, gt=0, allow_inf_nan=False)
    """Seconds without any byte after which a connection counts as lost; `timeout` is the workflow's own."""

    max_retries: int = Field(default=5, ge=0)
    """Failures in a row after which a turn is given up. Trying again never sends a turn twice."""

    busy_timeout: float = Field(default=60.0, ge=0, allow_inf_nan=False)
    """Seconds to wait for another turn of the same conversation."""

    background: bool | None = None
    """Stream in the background: `None` tries and falls back; `False` never does, and a lost turn cannot be resumed."""

    system_messages: SystemPolicy = "once"
    """What becomes of `system_prompt`: told `once`, when new or changed; sent as `override` of the agent's own prompt
    every time, which hides its memory blocks; or `ignore`d."""

    on_divergence: OnDivergence = "append"
    """What becomes of a run whose conversation went another way than its `Context` or memory knows.

    `append`: it goes on in the same one, after what is there; `fork`: in a new one that is told what the workflow
    still has (not with `conversation_id`); `error`: it raises `Divergence`.
    """

    on_pending_approval: OnPendingApproval = "deny"
    """What becomes of calls that the conversation waits for and nobody here knows of.

    `deny`: those of tools that are offered are denied together with the new message; `deny_all`: those of other client
    tools, too; `error`: none. Whatever is not denied raises `PendingApprovalError`.
    """

    on_approval: OnApproval = "error"
    """What becomes of a call of the server's own tools that waits for a person.

    `ask`: the run streams an `ApprovalRequiredEvent` and waits for an `ApprovalResponseEvent`; `error`: it raises
    `PendingApprovalError`.
    """

    on_abandon: OnAbandon = "finish"
    """What becomes of a turn when a run is cancelled: it goes on at the server (`finish`), or is cancelled there."""

    anchor_key: SecretStr | None = Field(default_factory=_secret_from_env("LETTA_ANCHOR_KEY"), exclude=True)
    """Signs what says where a conversation stands, and trusts nothing else; else `LETTA_ANCHOR_KEY`.

    For messages that come back from where people can change them.
    """

    max_steps: int | None = None
    """Steps that the server runs by itself in a turn, at most."""

    override_model: str | None = None
    """The handle of another model than the agent's own."""

    override_system: str | None = None
    """Another system prompt than the agent's own; it hides the memory blocks."""

    include_return_message_types: tuple[MessageType, ...] | None = None
    """Messages of these types only; without `approval_request_message` tool calls go unseen."""

    client_skills: tuple[ClientSkill, ...] = ()
    """Skills of the caller's environment, shown to the agent."""

    return_logprobs: bool = False
    """Whether answers tell the tokens of the last call of the model, as `logprobs` in `additional_kwargs["letta"]`.

    Such answers come whole, and a connection that is lost is not resumed: what became of the turn is read back.
    """

    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many tokens are told for each place; needs `return_logprobs`."""

    return_token_ids: bool = False
    """Whether answers tell the tokens of all calls of the model, as `turns` beside `logprobs`; of SGLang's models."""

    async_client: AsyncLettaClient | None = Field(default=None, exclude=True)
    """A client of your own instead of the six arguments that say how to call the server; never closed here."""

    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """An `httpx.AsyncClient` of your own."""

    _client: AsyncLettaClient | None = PrivateAttr(default=None)
    _of_workflow: dict[str, Any] = PrivateAttr(default_factory=dict[str, Any])

    def __init__(self, **fields: Any) -> None:
        llm, own = fields.pop("llm", None), AgentLLM()
        if fields.get("conversation_id") not in (None, "default"):  # it may be of another agent than the environment's
            fields.setdefault("agent_id", None)
        cast("Any", super()).__init__(llm=llm or own, **fields)
        own.speak_for(self._speaker)
        self._of_workflow = {name: fields[name] for name in WORKFLOW_KWARGS if name in fields}
        self._check()

    def __dir__(self) -> list[str]:
        # A workflow looks for its steps at whatever is listed here, and pydantic warns of being looked at.
        return [name for name in super().__dir__() if name not in _NOT_LOOKED_AT]

    def _check(self) -> None:
        check_place(self.agent_id, self.conversation_id)
        self._policies().check(pinned=self.conversation_id is not None)
        if self.anchor_key is not None and not self.anchor_key.get_secret_value():
            raise ValueError("`anchor_key` is empty: it would sign nothing. Leave it out, or pass a secret.")
        if self.top_logprobs is not None and not self.return_logprobs:
            raise ValueError("`top_logprobs` needs `return_logprobs=True`.")
        if self.async_client is None:
            Settings.resolve(self.base_url, self.api_key)

    @field_validator("tools", mode="before")
    @classmethod
    def validate_tools(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, v: Sequence[BaseTool | Callable[..., Any]] | None
    ) -> list[BaseTool] | None:
        """Make tools out of functions and check their names."""
        tools = as_llama_tools(v) if v is not None else None
        if any(tool.metadata.name == "handoff" for tool in tools or ()):
            raise ValueError("A tool cannot be named 'handoff': that is the workflow's own.")
        return tools

    def _speaker(self) -> Speaker:
        return Speaker(
            name=self.name,
            target=Target(agent_id=self.agent_id, conversation_id=self.conversation_id),
            client=self.client,
            policies=self._policies(),
            options=TurnOptions(**{name: getattr(self, name) for name in _OPTIONS}),
            busy_timeout=self.busy_timeout,
            anchor_key=self.anchor_key.get_secret_value() if self.anchor_key is not None else None,
        )

    def _policies(self) -> Policies:
        return Policies(**{name: getattr(self, name) for name in _POLICIES})

    @property
    def client(self) -> AsyncLettaClient:
        """The client that the agent uses."""
        if self.async_client is not None:
            return self.async_client
        if self._client is None:
            self._client = AsyncLettaClient(
                base_url=self.base_url,
                api_key=self.api_key,
                timeout=self.idle_timeout,
                max_retries=self.max_retries,
                busy_timeout=self.busy_timeout,
                http_client=self.http_async_client,
            )
        return self._client

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of a client of your own stay open."""
        if self._client is not None:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


_NOT_LOOKED_AT = frozenset({"__fields__", "__fields_set__", "model_computed_fields", "model_fields", "client"})

_POLICIES = ("system_messages", "on_divergence", "on_pending_approval", "on_abandon")
"""Fields that say what becomes of what."""

_OPTIONS = (
    "client_skills",
    "max_steps",
    "override_model",
    "override_system",
    "include_return_message_types",
    "background",
    "return_logprobs",
    "top_logprobs",
    "return_token_ids",
)
"""Fields that go to the API as they are."""
