"""When a delivery may be refused though nothing went wrong: there is nothing to say, or the policies forbid to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from letta_adapters.errors import Divergence, NothingToSend
from letta_adapters.policies import Policies
from letta_adapters.transcript import Anchor, AssistantEntry, Entry
from tests.properties.arrivals import Arrival, anchor_at
from tests.properties.dialogues import identity_of
from tests.properties.server import Double

__all__ = ["Place", "check_was_refused_rightly"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """What was refused.

    Args:
        double: The server.
        agent_id: Who was asked.
        pinned: In which conversation, if one was given.
        policies: How.
        entries: The transcript, with the anchors that count.
        in_order: Whether the transcript only ever grew.
        must_call: Tools one of which was to be called.
        ids: Whether messages have ids.
    """

    double: Double
    agent_id: str
    pinned: str | None
    policies: Policies
    entries: Sequence[Entry]
    in_order: bool
    must_call: Sequence[str]
    ids: bool

    @property
    def anchor(self) -> Anchor | None:
        """The anchor that it goes on from."""
        return anchor_at(self.entries, self.agent_id)[1]


def check_was_refused_rightly(error: BaseException, place: Place, arrivals: Sequence[Arrival]) -> None:
    """Only a transcript without news, or one that its conversation does not agree with, may be refused."""
    match error:
        case NothingToSend():
            allowed = _says_nothing(place)
        case Divergence():
            allowed = _went_another_way(place) and not _was_answered(place, arrivals)
        case _:
            allowed = False
    if not allowed:
        raise AssertionError(f"a delivery failed though nothing was wrong: {error!r}") from error


def _says_nothing(place: Place) -> bool:
    """Whether the last word is the agent's, and a call was asked for already where one is wanted."""
    last = place.entries[-1]
    if not isinstance(last, AssistantEntry):
        return False
    if last.anchor is None:
        return place.pinned is not None and place.anchor is None
    ours = last.anchor.agent_id == place.agent_id and place.pinned in (None, last.anchor.conversation_id)
    return ours and not last.anchor.pending and (last.anchor.nudged or not place.must_call)


def _went_another_way(place: Place) -> bool:
    anchor = place.anchor
    if place.policies.on_divergence != "error" or anchor is None or anchor.message_id is None:
        return False
    conversation = place.double.kept(place.agent_id, anchor.conversation_id)
    return bool(conversation.behind(anchor.message_id)) or not place.in_order


def _was_answered(place: Place, arrivals: Sequence[Arrival]) -> bool:
    """Whether this very transcript was answered in the conversation that it follows."""
    return place.ids and any(
        old.went_on
        and old.policies == place.policies
        and old.agent_id == place.agent_id
        and identity_of(old.entries) == identity_of(place.entries)
        for old in arrivals
    )
