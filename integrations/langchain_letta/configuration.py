"""The fields of `ChatLetta`: what can be set, checked when it is set, and what is made of it for a call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.utils import from_env, secret_from_env
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator
from typing_extensions import Self, override

from langchain_letta.clients import Clients, Connection
from langchain_letta.tools import LangChainTool, client_tools_from_langchain
from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.places import check_place
from letta_adapters.client.settings import Settings
from letta_adapters.delivery_steps import TurnOptions
from letta_adapters.near_names import near_name
from letta_adapters.pending import OnPendingApproval
from letta_adapters.planner import Target
from letta_adapters.policies import OnDivergence, OnRerun, Policies, SystemPolicy
from letta_adapters.steps import OnAbandon
from letta_adapters.wire import ClientSkill, MessageType

__all__ = ["ConfiguredModel"]


class ConfiguredModel(BaseChatModel):
    """A chat model with everything of `ChatLetta` but the calls."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        populate_by_name=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # what was passed may be a key
    )

    agent_id: str | None = Field(default_factory=from_env("LETTA_AGENT_ID", default=None))
    """The agent; needed in followed mode and for `conversation_id="default"`, where else it is `LETTA_AGENT_ID`.

    Another conversation may be of another agent than that one: whose it is is asked once, unless it is passed.
    """

    conversation_id: str | None = None
    """The conversation in pinned mode."""

    base_url: str | None = Field(default_factory=from_env("LETTA_BASE_URL", default=None))
    """The server; else `LETTA_BASE_URL`, else Letta Cloud."""

    api_key: SecretStr | None = Field(default_factory=secret_from_env("LETTA_API_KEY", default=None))
    """The bearer key; else `LETTA_API_KEY`. A self-hosted server may need none. A pickle leaves it out."""

    timeout: float = Field(default=90.0, gt=0, allow_inf_nan=False)
    """Seconds without any byte after which a connection counts as lost; the server's pings are bytes."""

    max_retries: int = Field(default=5, ge=0)
    """Failures in a row after which a turn is given up. Trying again never sends a turn twice."""

    busy_timeout: float = Field(default=60.0, ge=0, allow_inf_nan=False)
    """Seconds to wait for another turn of the same conversation."""

    background: bool | None = None
    """Stream in the background: `None` tries and falls back; `False` never does, and a lost turn cannot be resumed."""

    system_messages: SystemPolicy = "once"
    """What becomes of system messages.

    `once`: sent when new or changed; `override`: sent as `override_system` every time, which hides the agent's memory
    blocks; `ignore`: left out.
    """

    on_rerun: OnRerun = "attach"
    """What becomes of a transcript that was answered before: regenerated, or sent again by an old checkpoint.

    `attach`: its answer is given again, and nothing runs twice; `fork`: a fork of the conversation answers anew, every
    time (followed mode only). Messages are told by their ids; without ids every call is a new one.
    """

    on_divergence: OnDivergence | None = None
    """What becomes of a transcript that its conversation does not agree with: edited, rewound, a second branch.

    `fork`: it goes on in a new conversation (followed mode, and the default there); `append`: in the same one, after
    what is there (the default in pinned mode); `error`: it raises `Divergence`.
    """

    ephemeral: bool = False
    """Delete the conversation when the turn has ended and waits for no tool: for one-shot chains in followed mode.

    One whose stream is left before its end stays: its turn goes on there.
    """

    anchor_key: SecretStr | None = Field(default_factory=secret_from_env("LETTA_ANCHOR_KEY", default=None))
    """Signs the anchors of answers, and makes those without its signature count as none; else `LETTA_ANCHOR_KEY`.

    For transcripts that come back from where people can change them: an anchor says which conversation to go on with.
    """

    on_pending_approval: OnPendingApproval = "deny"
    """What becomes of tool calls that the conversation waits for and the transcript does not know of.

    `deny`: calls to tools that are bound now are denied together with the new message, since nobody will answer them;
    `deny_all`: so is every other call to a client tool; `error`: none is. Whatever is not denied raises
    `PendingApprovalError`, which names it. A call of a server tool that waits for a person is never denied here.
    """

    on_abandon: OnAbandon = "finish"
    """What becomes of a turn whose caller breaks out of the stream or is cancelled.

    `finish`: it goes on at the server; `cancel`: it is cancelled there. The connection is closed at once either way.
    """

    max_steps: int | None = Field(default=None, ge=1)
    """Steps of the agent at most; the server's default is 50. With none it would store nothing and say nothing."""

    override_model: str | None = None
    """The handle of another model than the agent's own."""

    override_system: str | None = None
    """Another system prompt than the agent's own; it hides the memory blocks."""

    include_return_message_types: tuple[MessageType, ...] | None = None
    """Messages of these types only; without `approval_request_message` tool calls go unseen."""

    client_skills: tuple[ClientSkill, ...] = ()
    """Skills of the caller's environment, shown to the agent."""

    return_logprobs: bool = False
    """Whether answers have `response_metadata["logprobs"]`: the tokens of the last call of the model.

    They are as `ChatOpenAI` has them: `{"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal"}`.

    Such an answer comes whole, as JSON, since no stream tells it: `stream` gives all at once, and a connection that is
    lost is not resumed; what became of the turn is read back. JSON has no pings, so a turn that takes longer than
    `timeout` counts as lost: `TurnInterrupted`, and the same request made again reads its answer. Letta Cloud is to
    heed it in every conversation; a self-hosted 0.16.8 does in an agent's default one only, and leaves out reasoning.
    """

    top_logprobs: int | None = None
    """How many other tokens are told for each place, 0 to 20; needs `return_logprobs`."""

    return_token_ids: bool = False
    """Whether answers have `response_metadata["letta"]["turns"]`: for each call of the model `output_ids` and
    `output_token_logprobs`, for each tool between them its name and what it gave. It comes as with `return_logprobs`,
    from SGLang's models only, of which a self-hosted 0.16.8 tells them in every conversation."""

    streaming: bool = False
    """Whether `invoke` and `ainvoke` tell each token to callbacks."""

    temperature: float | None = None
    """Accepted and ignored, which is said once: how a model samples is a setting of the agent."""

    max_tokens: int | None = None
    """Accepted and ignored, which is said once: how much a model may write is a setting of the agent."""

    stop: list[str] | None = None
    """Accepted and ignored, which is said once: when an answer ends is the agent's matter."""

    letta_client: Any = Field(default=None, exclude=True, repr=False)
    """A `letta_client.Letta` or `AsyncLetta`, whose URL and key are taken where none are given; it is not kept."""

    http_client: Any = Field(default=None, exclude=True, repr=False)
    """An `httpx.Client` of your own."""

    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """An `httpx.AsyncClient` of your own."""

    cache: Any = False
    """Off: a stateful model must not be answered from a cache."""

    _clients: Clients = PrivateAttr(default_factory=Clients)
    _said: set[str] = PrivateAttr(default_factory=set[str])

    @model_validator(mode="before")
    @classmethod
    def _tell_the_field_that_was_meant(cls, fields: dict[str, Any]) -> dict[str, Any]:
        for name in sorted(fields.keys() - cls.model_fields.keys()):
            if near := near_name(name, cls.model_fields):
                raise ValueError(f"`{name}` is no field of ChatLetta. Did you mean `{near}`?")
        return fields

    @model_validator(mode="before")
    @classmethod
    def _take_url_and_key(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**_reached_by(fields.get("letta_client")), **fields, "letta_client": None}

    @model_validator(mode="before")
    @classmethod
    def _leave_out_the_environments_agent(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {"agent_id": None, **fields} if _names_a_conversation(fields) else fields

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        self._policies().check(pinned=self._target().pinned)
        if self._signing_key == "":
            raise ValueError("`anchor_key` is empty: it would sign nothing. Leave it out, or pass a secret.")
        Settings.resolve(self.base_url, self.api_key)
        return self

    @override
    def __getstate__(self) -> dict[Any, Any]:
        # A pickle is written to disks and caches. Whoever reads it has the key in the environment or passes it again.
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "api_key": None, "anchor_key": None}}

    @override
    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self.api_key = secret_from_env("LETTA_API_KEY", default=None)()
        self.anchor_key = secret_from_env("LETTA_ANCHOR_KEY", default=None)()

    @property
    def client(self) -> LettaClient:
        """The client that this model uses for blocking calls."""
        return self._clients.blocking(self._connection())

    @property
    def async_client(self) -> AsyncLettaClient:
        """The client that this model uses for asynchronous calls."""
        return self._clients.asynchronous(self._connection())

    def _with(self, kwargs: dict[str, Any]) -> Self:
        """This model with the fields that a call overrides, checked like those of a new one.

        `model` is what LangChain calls `override_model`.
        """
        fields = type(self).model_fields.keys()
        overrides = {name: value for name, value in kwargs.items() if name in fields}
        overrides.update(_reached_by(overrides.pop("letta_client", None)))
        if kwargs.get("model") is not None:
            overrides.setdefault("override_model", kwargs["model"])
        if not overrides:
            return self
        own = {name: getattr(self, name) for name in fields}
        if _names_a_conversation(overrides) and "agent_id" not in self.model_fields_set:
            del own["agent_id"]
        model = type(self)(**{**own, **overrides})
        model._clients, model._said = self._clients, self._said
        return model

    def _say_once(self, message: str) -> None:
        """Warn of what is the same with every call."""
        if message not in self._said:
            self._said.add(message)
            _LOG.warning(message)

    def _policies(self) -> Policies:
        return Policies(**{name: getattr(self, name) for name in _POLICIES})

    @property
    def _signing_key(self) -> str | None:
        return self.anchor_key.get_secret_value() if self.anchor_key is not None else None

    @property
    def _server(self) -> str:
        """The server's address, told without a client: making one takes time, and an async call needs no other."""
        return Settings.resolve(self.base_url, self.api_key).base_url

    def _connection(self) -> Connection:
        return Connection(**{name: getattr(self, name) for name in _CONNECTION})

    def _target(self) -> Target:
        check_place(self.agent_id, self.conversation_id)
        return Target(agent_id=self.agent_id, conversation_id=self.conversation_id)

    def _options(self, tools: Sequence[LangChainTool]) -> TurnOptions:
        return TurnOptions(
            client_tools=client_tools_from_langchain(tools), **{name: getattr(self, name) for name in _OPTIONS}
        )

    @property
    def _reported_name(self) -> str:
        """The name to report: the agent's, since which model it uses is its own matter."""
        return self.override_model or f"letta/{self.agent_id or self.conversation_id}"


def _names_a_conversation(fields: dict[str, Any]) -> bool:
    return fields.get("conversation_id") not in (None, "default")


def _reached_by(letta: Any) -> dict[str, Any]:
    """Where a client of the official SDK sends to, and with which key."""
    if letta is None:
        return {}
    try:
        return {"base_url": str(letta.base_url), "api_key": letta.api_key}
    except AttributeError:
        raise ValueError(
            f"`letta_client` is a `letta_client.Letta` or `AsyncLetta`, not {type(letta).__name__}."
        ) from None


_LOG = logging.getLogger("langchain_letta")

_CONNECTION = ("base_url", "api_key", "timeout", "max_retries", "busy_timeout", "http_client", "http_async_client")
"""Fields of the model that say how the server is called."""

_POLICIES = ("system_messages", "on_rerun", "on_divergence", "on_pending_approval", "on_abandon", "ephemeral")
"""Fields of the model that say what becomes of what."""

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
"""Fields of the model that go to the API as they are."""
