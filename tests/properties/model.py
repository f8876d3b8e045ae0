"""The language model of the scenarios: what it does with a message is written down under the message's number."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from letta_adapters.testing.gates import Gates
from letta_adapters.testing.model import ModelPort, Question
from letta_adapters.testing.script import Call, Hold, Reply

__all__ = ["NOBODY", "SAME", "Port", "ScriptedModel", "human_text", "is_summary", "numbers_in", "reply_text"]

NOBODY = -1
"""Stands for the number of a message that has none."""

SAME = 0
"""The number of the words that users say again and again; only ids tell them apart."""

_NUMBER = re.compile(r"#(\d+)#")


def human_text(number: int) -> str:
    """What a user says: nothing but a number that tells the message from all others."""
    return f"message #{number}#"


def reply_text(number: int) -> str:
    """What the model answers to it, once its calls are answered."""
    return f"<answer {number}>"


def numbers_in(text: str) -> list[int]:
    """The numbers of the messages that a text holds."""
    return [int(number) for number in _NUMBER.findall(text)]


def is_summary(text: str) -> bool:
    """Whether a text is what a compaction left of older messages."""
    return '"system_alert"' in text


class ScriptedModel:
    """Answers the last message of the user; each round of calls comes before the answer.

    `rounds` has the calls of each round by the message's number; 0 calls stand for one of the server's own tool. Its
    summaries leave nothing out.
    """

    def __init__(self) -> None:
        self.rounds: dict[int, Sequence[int]] = {}
        self.gates: list[str] = []
        self._fails_in: int | None = None
        self._holds = False

    def fail_once(self, after: int) -> None:
        """Let the provider fail, once, after so many more answers."""
        self._fails_in = after

    def hold_once(self) -> None:
        """Let the next answer wait until time passes."""
        self._holds = True

    def calm(self) -> None:
        """Let nothing more go wrong."""
        self._fails_in, self._holds = None, False

    def __call__(self, messages: Sequence[dict[str, Any]]) -> Reply:
        if str(messages[0]["content"]).startswith("Summarize"):
            return Reply(text=str(messages[-1]["content"]))
        last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=-1)
        question = str(messages[last]["content"]) if last >= 0 else ""
        asked = numbers_in(question)
        number = asked[-1] if asked else NOBODY
        round_number = _rounds_in(question) + sum(1 for message in messages[last + 1 :] if message.get("tool_calls"))
        if self._fails_now():
            return Reply(fail=500)
        return Reply(**self._said(number, round_number), hold=self._hold())

    def _said(self, number: int, round_number: int) -> dict[str, Any]:
        rounds = self.rounds.get(number, ())
        if round_number >= len(rounds):
            return {"text": reply_text(number)}
        count = rounds[round_number]
        calls = [Call(name="add", arguments=f'{{"n": {n}}}') for n in range(count)] or [Call(name="roll", arguments="")]
        return {"text": "let me see" if number % 2 else "", "calls": tuple(calls)}

    def _fails_now(self) -> bool:
        if self._fails_in is None:
            return False
        self._fails_in = self._fails_in - 1 if self._fails_in > 0 else None
        return self._fails_in is None

    def _hold(self) -> Hold | None:
        if not self._holds:
            return None
        self._holds = False
        self.gates.append(f"gate-{uuid4()}")
        return Hold(gate=self.gates[-1], after=0)


def _rounds_in(question: str) -> int:
    """How many rounds of tools went before, where a compaction made a summary of them: each left a line."""
    return re.split(r"#\d+#", question)[-1].count("[tool]") if is_summary(question) else 0


class Port(ModelPort):
    """Asks the model, and notes what each run told it to be.

    `counts`: the calls of each answer are counted from nought, and have no other ids.
    """

    def __init__(self, *, model: ScriptedModel, gates: Gates, counts: bool) -> None:
        super().__init__(function=model, gates=gates)
        self.prompts: dict[str, str] = {}
        self._counts = counts

    def ask(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        *,
        run_id: str,
        needs_approval: Callable[[str], bool],
        handle: str | None = None,
    ) -> Question:
        self.prompts[run_id] = str(messages[0]["content"])
        question = _Counted if self._counts else Question
        return question(self.function(messages), gates=self._gates, run_id=run_id, needs_approval=needs_approval)


class _Counted(Question):
    def __init__(self, reply: Reply, *, gates: Gates, run_id: str, needs_approval: Callable[[str], bool]) -> None:
        super().__init__(reply, gates=gates, run_id=run_id, needs_approval=needs_approval)
        self._calls = tuple(replace(call, id=f"call_{number}") for number, call in enumerate(self._calls))
