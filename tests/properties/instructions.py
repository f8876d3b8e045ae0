"""What became of instructions: told once, put in the place of the agent's prompt, or left out."""

from __future__ import annotations

from collections.abc import Sequence

from letta_adapters.transcript import Entry, SystemEntry
from tests.properties.arrivals import Arrival, anchor_at, in_front
from tests.properties.kept import Kept

__all__ = ["check_instructions", "texts_in_front", "texts_of"]


def texts_of(entries: Sequence[Entry]) -> list[str]:
    """All instructions of a transcript."""
    return [entry.text for entry in entries if isinstance(entry, SystemEntry)]


def texts_in_front(entries: Sequence[Entry]) -> list[str]:
    """Those that it begins with."""
    return texts_of(in_front(entries))


def check_instructions(arrival: Arrival, conversation: Kept, prompt: str) -> None:
    """Instructions are where the policy has them.

    Args:
        arrival: The answer.
        conversation: Where it is.
        prompt: What the model was told to be.
    """
    policy = arrival.policies.system_messages
    run_id = arrival.delivered.anchor.run_id
    stored = [one for one in conversation.messages.values() if one.run_id == run_id and one.role == "system"]
    assert policy == "once" or not stored, f"instructions were told though the policy is {policy!r}"
    if policy == "override":
        assert prompt in _overrides(arrival) or not any(_overrides(arrival)), f"the model was told to be {prompt!r}"
    if policy != "override" or not any(_overrides(arrival)):
        assert "instruction" not in prompt, f"the model was told to be {prompt!r}"


def _overrides(arrival: Arrival) -> list[str]:
    """What the model may be told to be: what is in front and what is new; all is new to a new conversation."""
    front = texts_in_front(arrival.entries)
    index, _ = anchor_at(arrival.entries, arrival.agent_id)
    new = texts_of(arrival.entries[max(index + 1, len(front)) :])
    everything = texts_of(arrival.entries)
    return ["\n\n".join([*front, *new])] + ([] if arrival.went_on else ["\n\n".join(everything)])
