"""What can be said beside the messages of a request, and how a request is checked before it is sent. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError

from letta_adapters.steps import OnAbandon
from letta_adapters.wire import ClientSkill, ClientTool, InputMessage, InputModel, InputPart, MessageType

__all__ = ["Controls", "StreamedRequest", "WholeRequest", "check_there_is_something", "checked"]

M = TypeVar("M", bound=InputModel)

_UNIONS = ("approvals", "model_settings", "response_format", "response_schema", "source")
"""Fields whose value says itself what it is, so that a place in it names its kind, too."""


class Controls(TypedDict, total=False):
    """What can be said beside the messages of a request.

    client_tools: Tools that the caller runs; needed again with their results.
    client_skills: Skills of the caller's environment.
    max_steps: Steps of the agent at most; the server's default is 50.
    override_model: The handle of another model, for this turn.
    override_system: Another system prompt, for this turn; it hides the memory blocks.
    include_return_message_types: Messages of these types only.
    include_compaction_messages: Whether a compaction on the way shows as an event and a summary.
    return_logprobs, top_logprobs: Log probabilities of the last generation, of up to 20 tokens a place.
    return_token_ids: The tokens of all generations, as `turns`.
    use_assistant_message, assistant_message_tool_name, assistant_message_tool_kwarg, enable_thinking: For older types
        of agents; deprecated in the API.
    """

    client_tools: Sequence[ClientTool] | None
    client_skills: Sequence[ClientSkill] | None
    max_steps: int | None
    override_model: str | None
    override_system: str | None
    include_return_message_types: Sequence[MessageType] | None
    include_compaction_messages: bool | None
    return_logprobs: bool | None
    top_logprobs: int | None
    return_token_ids: bool | None
    use_assistant_message: bool | None
    assistant_message_tool_name: str | None
    assistant_message_tool_kwarg: str | None
    enable_thinking: str | None


class WholeRequest(Controls, total=False):
    """Messages, or `input` as short for one of the user's, and what is said beside them."""

    messages: Sequence[InputMessage] | None
    input: str | Sequence[InputPart] | None


def checked(kind: type[M], request: Mapping[str, Any]) -> M:
    """Make a request out of its fields; what is `None` or an empty list of tools counts as not given.

    Raises:
        ValueError: A field is not one of the API, or not what the API takes; the message names it.
    """
    given = {name: value for name, value in request.items() if value is not None}
    for name in ("client_tools", "client_skills"):
        if not given.get(name, True):
            del given[name]
    try:
        made = kind.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        telling = [one for one in found if one["loc"][-1:] != ("str",)] or found  # a list is no text: that is known
        said = "; ".join(_said(one) for one in telling)
        raise ValueError(f"The request is not one that the API takes. {said}") from None
    _check_it_can_be_sent(made)
    return made


def _check_it_can_be_sent(made: InputModel) -> None:
    """Refuse text without bytes here: once the turn has begun it would count as one that may have been sent."""
    for name in sorted(made.model_fields_set):
        try:
            made.model_dump_json(include={name})
        except PydanticSerializationError:
            raise ValueError(
                f"The request is not one that the API takes. In `{name}` is a lone surrogate, half a character, which "
                "is in no encoding."
            ) from None


class StreamedRequest(WholeRequest, total=False):
    """A request for a turn, and how it is streamed; see `turns.create_message`."""

    background: bool
    stream_tokens: bool
    include_pings: bool
    on_abandon: OnAbandon


def check_there_is_something(request: WholeRequest) -> None:
    """Raise `ValueError` unless one of `messages` and `input` is given, and something is in it."""
    if (request.get("messages") is None) == (request.get("input") is None):
        raise ValueError("Pass either `messages` or `input`.")
    if not (request.get("messages") or request.get("input")):
        raise ValueError("There is nothing to send: `messages` or `input` is empty.")


def _said(error: ErrorDetails) -> str:
    loc, reason = error["loc"], error["msg"].removeprefix("Value error, ")
    if error["type"] == "union_tag_not_found":
        reason = f"{error.get('ctx', {})['discriminator']} is missing"
    elif error["type"] == "list_type" and str(loc[-1]).startswith("list["):  # one of two that it may be
        reason = "Input should be a text or a list"
    return f"`{_place(loc)}`: {reason}" if loc else reason


def _place(loc: Sequence[int | str]) -> str:
    """Where in a request something is, as `client_skills[1].location`."""
    place = ""
    before: int | str = ""
    for number, part in enumerate(loc):
        is_last = number == len(loc) - 1
        names_a_kind = not is_last and (isinstance(before, int) or before in _UNIONS) and isinstance(part, str)
        if isinstance(part, int):
            place += f"[{part}]"
        elif not names_a_kind and "[" not in part and part != "str":
            place += f".{part}" if place else part
        before = part
    return place
