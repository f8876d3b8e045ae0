"""A scripted language model: what it answers is written in the text that the user sends.

The same script drives the double (`FakeLetta`) and the model server behind a real Letta server, so that one
scenario can run on both. It is a pure function: `reply_to(messages)` takes OpenAI chat messages and gives a `Reply`.

Directives, anywhere in the last user message:

| directive | what the model does |
|---|---|
| `[[say TEXT]]` | answers TEXT (without it: `You said: …`, or `The tools answered: …` after tool results) |
| `[[think TEXT]]` | thinks TEXT first |
| `[[call NAME {JSON}]]` | calls a tool; several in one round are parallel; the arguments may be missing or broken |
| `[[next]]` | starts the answer to the tool results of the round before |
| `[[recall]]` | answers with every message it sees except the first system prompt, one `role: text` a line |
| `[[hold GATE N]]` | after N tokens (default 0) waits until the gate is opened, so that a test can act in mid-turn |
| `[[fail STATUS]]` | the provider answers with this HTTP status instead |
| `[[break N]]` | the provider's connection breaks after N tokens |
| `[[cut]]` | the provider says that its limit of tokens cut the answer off |

Tokens are words with the space that follows them, reasoning first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

__all__ = [
    "COMPLETION_TOKENS",
    "PROMPT_TOKENS",
    "Call",
    "ChatMessage",
    "Hold",
    "Reply",
    "directives_in",
    "reply_to",
    "text_of",
    "tokens",
]

PROMPT_TOKENS = 100
"""Prompt tokens that every scripted reply reports, so that sums over steps can be checked."""

COMPLETION_TOKENS = 20
"""Completion tokens that every scripted reply reports."""

ChatMessage = Mapping[str, Any]
"""One OpenAI chat-completions message."""

_DIRECTIVE = re.compile(r"\[\[(\w+)\s*(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One tool call of a reply; `arguments` is JSON text, or whatever the script says."""

    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Wait for `gate` after `after` tokens."""

    gate: str
    after: int


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model does in one step; the tokens are those that it reports to have read from a cache and thought."""

    reasoning: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    hold: Hold | None = None
    fail: int | None = None
    break_after: int | None = None
    cut_off: bool = False


def tokens(text: str) -> list[str]:
    """Split a text into the tokens that the model streams; joined they are the text again."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def reply_to(messages: Sequence[ChatMessage]) -> Reply:
    """Answer a list of OpenAI chat messages as the last user message directs."""
    last_user = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=-1)
    asked = text_of(messages[last_user]) if last_user >= 0 else ""
    since = messages[last_user + 1 :]
    round_number = sum(1 for m in since if m["role"] == "assistant" and m.get("tool_calls"))
    rounds = re.split(r"\[\[next\]\]", asked)
    script = rounds[round_number] if round_number < len(rounds) else ""
    return _follow(script, messages, default=_default_text(asked, since))


def _default_text(asked: str, since: Sequence[ChatMessage]) -> str:
    results = [text_of(m) for m in since if m["role"] == "tool"]
    if results:
        return "The tools answered: " + " | ".join(results)
    return "You said: " + _DIRECTIVE.sub("", asked).strip()


def _follow(script: str, messages: Sequence[ChatMessage], *, default: str) -> Reply:
    found: dict[str, list[str]] = {}
    for name, argument in _DIRECTIVE.findall(script):
        found.setdefault(name, []).append(argument.strip())
    calls = tuple(_call(argument) for argument in found.get("call", ()))
    if "say" in found:
        text = " ".join(found["say"])
    elif "recall" in found:
        text = "\n".join(f"{m['role']}: {_DIRECTIVE.sub('', text_of(m)).strip()}" for m in messages[1:])
    else:
        text = "" if calls else default
    return Reply(
        reasoning=" ".join(found.get("think", ())),
        text=text,
        calls=calls,
        hold=_hold(found["hold"][0]) if "hold" in found else None,
        fail=int(found["fail"][0]) if "fail" in found else None,
        break_after=int(found["break"][0]) if "break" in found else None,
        cut_off="cut" in found,
    )


def _call(argument: str) -> Call:
    name, _, arguments = argument.partition(" ")
    return Call(name=name, arguments=arguments.strip())


def _hold(argument: str) -> Hold:
    gate, _, after = argument.partition(" ")
    return Hold(gate=gate, after=int(after or 0))


def directives_in(text: str) -> list[str]:
    """The names of the directives of a text, in order."""
    return [name for name, _ in _DIRECTIVE.findall(text)]


def text_of(message: ChatMessage) -> str:
    """The text of a message, out of content parts and out of the JSON that Letta packs some texts in."""
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = " ".join(part.get("text", "") for part in content)
    if content.startswith("{"):
        try:
            packed = json.loads(content)
        except ValueError:
            return content
        if isinstance(packed, dict) and "message" in packed:
            return str(cast("dict[str, Any]", packed)["message"])
    return content
