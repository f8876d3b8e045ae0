"""What must be true of the server, read out of the double's store; nothing of the client is asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from letta_adapters.client.turns import PreparedTurn
from letta_adapters.delivery_steps import Delivered
from letta_adapters.testing.messages import StoredMessage, ToolReturn
from letta_adapters.transcript import AssistantEntry, Entry, HumanEntry, SystemEntry, ToolEntry
from tests.properties.arrivals import Arrival
from tests.properties.dialogues import Dialogue, numbers_of
from tests.properties.kept import Kept, is_a_summary, text_of
from tests.properties.model import NOBODY, SAME, numbers_in, reply_text

__all__ = [
    "check_anchor_is_true",
    "check_answers_the_question",
    "check_branches_are_apart",
    "check_everything_is_told",
    "check_goes_where_it_may",
    "check_is_the_same_answer",
    "check_nothing_is_twice",
    "check_sends_the_same_again",
]

_ANSWER = re.compile(r"<answer \d+>|~\d+~")
_NUDGE = "Answer by calling"


def _numbers(messages: Iterable[StoredMessage]) -> list[int]:
    return [number for message in messages if message.role == "user" for number in numbers_in(text_of(message))]


def _told(messages: Sequence[StoredMessage], marker: str) -> int:
    """How often a marker is said, by a user or in an answer to a call."""
    count = 0
    for message in messages:
        if message.role in ("user", "assistant", "system"):
            count += text_of(message).count(marker)
        count += sum(str(one.response).count(marker) for one in message.approvals if isinstance(one, ToolReturn))
    return count


def check_nothing_is_twice(conversations: Sequence[Kept], *, words_are_enough: bool = True) -> None:
    """No message of a user and no result is in a conversation twice, and the server never had to wake the agent up.

    Args:
        conversations: What the server keeps.
        words_are_enough: Whether the same words are the same message.
    """
    for conversation in conversations:
        messages = conversation.said
        otids = Counter(message.otid for message in messages if message.role == "user")
        assert not _repeated(otids), f"{conversation.id} has the same message twice: {_repeated(otids)}"
        if words_are_enough:
            numbers = Counter(_numbers(messages))
            del numbers[SAME]
            assert not _repeated(numbers), f"{conversation.id} has messages twice: {_repeated(numbers)}"
            results = Counter(re.findall(r"=\d+=", _all_results(messages)))
            assert not _repeated(results), f"{conversation.id} has results twice: {_repeated(results)}"
        assert not any("keep-alive" in text_of(message) for message in messages), "calls were answered twice"


def _all_results(messages: Sequence[StoredMessage]) -> str:
    said = [text_of(message) for message in messages if message.role == "user"]
    given = [str(one.response) for message in messages for one in message.approvals if isinstance(one, ToolReturn)]
    return " ".join([*said, *given])


def _repeated(counts: Counter[int] | Counter[str] | Counter[str | None]) -> list[object]:
    return [key for key, count in counts.items() if count > 1]


def check_everything_is_told(
    conversation: Kept, dialogue: Dialogue, *, upto: str, exact: bool, unheard: frozenset[str] = frozenset()
) -> None:
    """What the transcript says is in what the model sees; in followed mode also nothing else, and in its order.

    Args:
        conversation: Where the answer is.
        dialogue: The transcript that was answered.
        upto: The last message of the answer; what came after it is another story.
        exact: Whether the conversation is only this dialogue's.
        unheard: Instructions that need not be there.
    """
    in_context = conversation.has_in_context(upto)
    context = conversation.upto(upto) if in_context else conversation.context
    said, there = numbers_of(dialogue.entries), _numbers(context)
    missing = Counter(said) - Counter(there)
    assert not missing, f"{conversation.id} lacks messages {dict(missing)}: it has {there}, of {said}"
    for marker in _markers(dialogue.entries):
        assert marker in unheard or _told(context, marker), f"{conversation.id} lacks {marker!r}"
    if not exact or not in_context:
        return
    more = Counter(there) - Counter(said) - dialogue.forgotten
    assert not more, f"{conversation.id} has what the transcript does not: {dict(more)}: it has {there}, of {said}"
    if dialogue.in_order and not dialogue.forgotten:
        assert there == said, f"{conversation.id} has {there} in the place of {said}"
    _check_is_nudged_once(context)


def _check_is_nudged_once(context: Sequence[StoredMessage]) -> None:
    """Nobody asks for a call again where the answer to the first time was only words."""
    asked = False
    for message in context:
        if message.role != "assistant":
            again = message.role == "user" and text_of(message).startswith(_NUDGE)
            assert not (asked and again), "a call was asked for twice"
            asked = again


def _markers(entries: Sequence[Entry]) -> list[str]:
    markers: list[str] = []
    for entry in entries:
        match entry:
            case AssistantEntry():
                markers.extend(_ANSWER.findall(entry.text))
            case ToolEntry():
                markers.extend(re.findall(r"=\d+=", str(entry.content)))
            case SystemEntry():
                markers.append(entry.text)
            case _:
                pass
    return markers


def check_anchor_is_true(conversation: Kept, delivered: Delivered, *, just_now: bool) -> None:
    """An answer's anchor leads to the conversation that has the answer.

    Args:
        conversation: What the conversation has, or had when it was deleted.
        delivered: The answer.
        just_now: Whether the answer must be the last that the conversation has.
    """
    anchor, turn = delivered.anchor, delivered.turn
    assert conversation.agent_id == anchor.agent_id
    assert anchor.message_id is not None, "an answer has a message"
    stored = [conversation.messages.get(message_id) for message_id in anchor.message_ids]
    texts = "".join(text_of(one) for one in stored if one is not None and one.role in ("assistant", "approval"))
    assert None not in stored, "the answer is somewhere else"
    assert turn.text == texts, f"the answer is {turn.text!r}, and stored is {texts!r}"
    last = [one for one in stored if one is not None and not is_a_summary(one)][-1]
    waiting = [call.id for call in last.tool_calls or ()] if last.is_approval_request else []
    assert [call.tool_call_id for call in anchor.pending] == waiting
    assert not just_now or conversation.context[-1].id in anchor.message_ids, "something came after the answer"


def check_answers_the_question(entries: Sequence[Entry], delivered: Delivered) -> None:
    """The answer is to what the user said last."""
    if not (said := numbers_of(entries)) or isinstance(entries[-1], AssistantEntry):
        return
    foreign_last = any(isinstance(e, AssistantEntry) and e.anchor is None for e in _after_last_human(entries))
    # Results that are told as text are the last that the user said, and have no number.
    told = isinstance(entries[-1], ToolEntry) and delivered.turn.text.endswith(reply_text(NOBODY))
    if not delivered.anchor.pending and not foreign_last and not told:
        assert delivered.turn.text.endswith(reply_text(said[-1])), f"{delivered.turn.text!r} is no answer to {said[-1]}"


def _after_last_human(entries: Sequence[Entry]) -> Sequence[Entry]:
    last = max(i for i, entry in enumerate(entries) if isinstance(entry, HumanEntry))
    return entries[last + 1 :]


def check_branches_are_apart(arrivals: Sequence[Arrival]) -> None:
    """What followed one answer in two ways is in two conversations."""
    by_anchor: dict[tuple[str, str], list[Arrival]] = {}
    for arrival in arrivals:
        if arrival.followed is not None and arrival.goes_its_own_way:
            key = (arrival.agent_id, arrival.followed.message_id or "")
            by_anchor.setdefault(key, []).append(arrival)
    for branches in by_anchor.values():
        for number, one in enumerate(branches):
            for other in branches[:number]:
                shorter = min(len(one.tail), len(other.tail))
                if one.tail[:shorter] != other.tail[:shorter]:
                    assert one.conversation_id != other.conversation_id, (
                        f"{one.tail} and {other.tail} follow one answer in one conversation"
                    )


def check_is_the_same_answer(arrival: Arrival, before: Sequence[Arrival]) -> None:
    """The same transcript, passed again, brings the same answer, where the conversation went on with it."""
    for old in before:
        same_place = old.went_on and old.conversation_id == arrival.conversation_id
        if same_place and old.policies == arrival.policies and arrival.is_asked_as(old):
            assert arrival.delivered.anchor.message_id == old.delivered.anchor.message_id, "a re-run made a new answer"


def check_goes_where_it_may(arrival: Arrival, before: Sequence[Arrival], *, is_gone: bool) -> None:
    """A conversation that outlives its turns is not taken by who deletes them, nor left by who may not leave it.

    Args:
        arrival: The answer.
        before: Those that were given before it.
        is_gone: Whether the conversation that it follows was deleted.
    """
    policies = arrival.policies
    if policies.ephemeral and arrival.followed is None:
        lasting = {old.conversation_id for old in before if not old.policies.ephemeral}
        assert arrival.conversation_id not in lasting, "a conversation that was to last was taken, to delete it"
    if policies.on_divergence == "error" and policies.on_rerun == "attach" and arrival.followed is not None:
        assert arrival.went_on or is_gone, "a fork was made though it was to be an error"


def check_sends_the_same_again(
    first: Sequence[PreparedTurn], second: Sequence[PreparedTurn], *, to_the_same_place: bool
) -> None:
    """What is sent again has otids of what was sent before it.

    Args:
        first: What was sent before something went wrong.
        second: What was sent for the same transcript afterwards.
        to_the_same_place: Whether it must go to the same conversation; else it does not matter what is sent elsewhere.
    """
    before = {(one.conversation_id, otid) for one in first if one.request for otid in one.request.otids}
    after = {(one.conversation_id, otid) for one in second if one.request for otid in one.request.otids}
    places = {place for place, _ in before} & {place for place, _ in after}
    if before and (places or to_the_same_place):
        assert before & after, f"{before} became {after}"
