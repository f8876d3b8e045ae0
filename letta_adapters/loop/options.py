"""What a caller can ask of a tool loop, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict

from typing_extensions import Unpack

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.controls import checked
from letta_adapters.client.endpoints import check_conversation_id
from letta_adapters.loop.pumps import LoopRules, OnApproval
from letta_adapters.loop.steps import LoopRequest
from letta_adapters.near_names import check_names
from letta_adapters.tools import Tool, as_tools
from letta_adapters.wire import ClientSkill, InputMessage, InputPart, MessageCreate, MessageRequest, MessageType

__all__ = ["LoopOptions", "check_client", "check_hook", "rules_of"]


class LoopOptions(TypedDict, total=False):
    """How a loop is to be run; `run_turn` tells what each means."""

    agent_id: str | None
    messages: Sequence[InputMessage] | None
    tools: Sequence[Tool | Callable[..., Any]]
    max_tool_rounds: int
    max_parallel: int
    tool_timeout: float | None
    on_approval: OnApproval | None
    ask_for: Literal["others", "all"]
    on_pending_approval: Literal["deny", "error"]
    on_abandon: Literal["finish", "cancel"]
    max_steps: int | None
    client_skills: Sequence[ClientSkill] | None
    override_model: str | None
    override_system: str | None
    include_return_message_types: Sequence[MessageType] | None
    background: bool
    return_logprobs: bool
    top_logprobs: int | None
    return_token_ids: bool
    busy_timeout: float | None


_ALLOWED = {"ask_for": ("others", "all"), "on_pending_approval": ("deny", "error"), "on_abandon": ("finish", "cancel")}

_DOORS = {LettaClient: "`run_turn` and `stream_turn`", AsyncLettaClient: "`arun_turn` and `astream_turn`"}
"""Which functions take which client."""

_OF_TOKENS = ("return_logprobs", "top_logprobs", "return_token_ids")
"""Options that ask what an answer looked like token by token."""


def check_client(client: object, kind: type[LettaClient] | type[AsyncLettaClient]) -> None:
    """Raise `TypeError` for what is no client, or the twin's."""
    if not isinstance(client, kind):
        other = next((f"; {doors} take that" for twin, doors in _DOORS.items() if isinstance(client, twin)), "")
        raise TypeError(f"{_DOORS[kind]} take {kind.__name__}, not {type(client).__name__}{other}.")


def check_hook(name: str, hook: object) -> None:
    """Raise `TypeError` for what cannot be called."""
    if hook is not None and not callable(hook):
        raise TypeError(f"`{name}` must be a function, not {hook!r}.")


def rules_of(
    conversation_id: str, input: str | Sequence[InputPart] | None, **options: Unpack[LoopOptions]
) -> LoopRules:
    """Check everything that can be checked before anything is sent.

    Raises:
        TypeError: A tool's signature is not supported, an option is none, or what is to be called is no function.
        ValueError: Something is refused; the message says what.
    """
    check_names("A tool loop has no option", options, LoopOptions.__annotations__)
    for name, allowed in _ALLOWED.items():
        if options.get(name, allowed[0]) not in allowed:
            raise ValueError(f"`{name}` must be one of {allowed}, not {options.get(name)!r}.")
    agent_id = options.get("agent_id")
    tools = as_tools(options.get("tools", ()))
    max_steps = options.get("max_steps")
    if tools and max_steps == 1:
        raise ValueError("`max_steps` must be at least 2 where there are tools: with 1 no result is ever answered.")
    on_approval = options.get("on_approval")
    check_hook("on_approval", on_approval)
    asks = options.get("ask_for", "others")
    if asks == "all" and on_approval is None:
        raise ValueError("`ask_for='all'` needs `on_approval`.")
    types = options.get("include_return_message_types")
    skills = options.get("client_skills")
    request = LoopRequest(
        conversation_id=check_conversation_id(conversation_id, agent_id),
        agent_id=agent_id,
        messages=_messages(input, options.get("messages")),
        tools=tools,
        max_tool_rounds=_at_least_one("max_tool_rounds", options.get("max_tool_rounds", 20)),
        asks="nobody" if on_approval is None else asks,
        on_pending_approval=options.get("on_pending_approval", "deny"),
        max_steps=max_steps,
        client_skills=tuple(skills) if skills else None,
        override_model=options.get("override_model"),
        override_system=options.get("override_system"),
        # A filter would hide the calls that are to be answered (measured).
        include_return_message_types=tuple({*types, "approval_request_message"}) if types is not None else None,
        background=options.get("background", True),
        **_token_data(options),
    )
    timeout = options.get("tool_timeout", 300.0)
    if timeout is not None and not timeout > 0:
        raise ValueError(f"`tool_timeout` must be positive, or None for no limit, not {timeout!r}.")
    busy_timeout = options.get("busy_timeout")
    if busy_timeout is not None and not busy_timeout >= 0:
        raise ValueError(f"`busy_timeout` must not be negative: {busy_timeout!r}.")
    return LoopRules(
        request=request,
        max_parallel=_at_least_one("max_parallel", options.get("max_parallel", 4)),
        tool_timeout=timeout,
        on_approval=on_approval,
        on_abandon=options.get("on_abandon", "finish"),
        busy_timeout=busy_timeout,
    )


def _token_data(options: LoopOptions) -> dict[str, Any]:
    given = {name: value for name in _OF_TOKENS if (value := options.get(name)) is not None}
    checked(MessageRequest, given)
    return given


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"`{name}` must be at least 1, not {value!r}.")
    return value


def _messages(
    input: str | Sequence[InputPart] | None, messages: Sequence[InputMessage] | None
) -> tuple[InputMessage, ...]:
    if (input is None) == (messages is None):
        raise ValueError("Pass either `input` or `messages`.")
    if not (input or messages):
        raise ValueError("There is nothing to send: `input` or `messages` is empty.")
    made = checked(MessageRequest, {"input": input, "messages": messages})
    return tuple(made.messages or [MessageCreate(role="user", content=made.input or "")])
