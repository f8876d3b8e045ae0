"""What must be true of the server, read out of the double's store; nothing of the client is asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from letta_adapters.client.turns import PreparedTurn
from letta_adapters.delivery_steps import Delivered
from letta_adapters.testing.messages import StoredMessage, ToolReturn
from letta_adapters.testing.state import Conversation, Store
from letta_adapters.transcript import Anchor, AssistantEntry, Entry, HumanEntry, SystemEntry, ToolEntry
from tests.properties.dialogues import Dialogue, identity_of, numbers_of
from tests.properties.model import NOBODY, SAME, numbers_in, reply_text

__all__ = [
    "Arrival",
    "arrival_of",
    "check_anchor_is_true",
    "check_answers_the_question",
    "check_branches_are_apart",
    "check_everything_is_told",
    "check_is_the_same_answer",
    "check_nothing_is_twice",
    "check_sends_the_same_again",
]

_ANSWER = re.compile(r"<answer \d+>|~\d+~")


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A delivery that brought an answer.

    Args:
        agent_id: Who answered.
        entries: The transcript that was passed.
        followed: The anchor of its last answer by the same agent.
        tail: What came after that.
        delivered: The answer.
    """

    agent_id: str
    entries: tuple[Entry, ...]
    followed: Anchor | None
    tail: tuple[object, ...]
    delivered: Delivered

    @property
    def conversation_id(self) -> str:
        """Where the answer is."""
        return self.delivered.anchor.conversation_id

    def repeats(self, others: Sequence[Arrival]) -> bool:
        """Whether it may be an answer that was given before."""
        tails = [other.tail for other in others]
        return any(self.tail[: len(tail)] == tail[: len(self.tail)] for tail in tails)

    def is_given_again(self, others: Sequence[Arrival]) -> bool:
        """Whether it is an answer that was given before."""
        return any(self.delivered.anchor.message_id == other.delivered.anchor.message_id for other in others)


def _text(message: StoredMessage) -> str:
    return " ".join(part.get("text", "") for part in message.content)


def _is_summary(message: StoredMessage) -> bool:
    return message.role == "user" and '"system_alert"' in _text(message)


def _numbers(messages: Sequence[StoredMessage]) -> list[int]:
    return [number for message in messages if message.role == "user" for number in numbers_in(_text(message))]


def _told(messages: Sequence[StoredMessage], marker: str) -> int:
    """How often a marker is said, by a user or in an answer to a call."""
    count = 0
    for message in messages:
        if message.role in ("user", "assistant", "system"):
            count += _text(message).count(marker)
        count += sum(str(one.response).count(marker) for one in message.approvals if isinstance(one, ToolReturn))
    return count


def check_nothing_is_twice(store: Store, *, words_are_enough: bool = True) -> None:
    """No message of a user and no result is in a conversation twice, and the server never had to wake the agent up.

    Args:
        store: What the server keeps.
        words_are_enough: Whether the same words are the same message.
    """
    for conversation in [*store.conversations.values(), *(agent.default for agent in store.agents.values())]:
        messages = [store.messages[message_id] for message_id, _ in conversation.ordered()]
        messages = [message for message in messages if not _is_summary(message)]
        otids = Counter(message.otid for message in messages if message.role == "user")
        assert not _repeated(otids), f"{conversation.id} has the same message twice: {_repeated(otids)}"
        if words_are_enough:
            numbers = Counter(_numbers(messages))
            del numbers[SAME]
            assert not _repeated(numbers), f"{conversation.id} has messages twice: {_repeated(numbers)}"
            results = Counter(re.findall(r"=\d+=", _all_results(messages)))
            assert not _repeated(results), f"{conversation.id} has results twice: {_repeated(results)}"
        assert not any("keep-alive" in _text(message) for message in messages), "calls were answered twice"


def _all_results(messages: Sequence[StoredMessage]) -> str:
    said = [_text(message) for message in messages if message.role == "user"]
    given = [str(one.response) for message in messages for one in message.approvals if isinstance(one, ToolReturn)]
    return " ".join([*said, *given])


def _repeated(counts: Counter[int] | Counter[str] | Counter[str | None]) -> list[object]:
    return [key for key, count in counts.items() if count > 1]


def check_everything_is_told(
    store: Store, dialogue: Dialogue, conversation: Conversation, *, upto: str, followed: bool
) -> None:
    """What the transcript says is in what the model sees; in followed mode also nothing else, and in its order.

    Args:
        store: What the server keeps.
        dialogue: The transcript that was answered.
        conversation: Where the answer is.
        upto: The last message of the answer; what came after it is another story.
        followed: Whether the conversation is only this dialogue's.
    """
    context = store.context(conversation)
    in_context = upto in conversation.in_context  # a compaction may have taken it out
    if in_context:
        context = context[: conversation.in_context.index(upto) + 1]
    said, there = numbers_of(dialogue.entries), _numbers(context)
    missing = Counter(said) - Counter(there)
    assert not missing, f"{conversation.id} lacks messages {dict(missing)}: it has {there}, of {said}"
    for marker in _markers(dialogue.entries):
        assert _told(context, marker), f"{conversation.id} lacks {marker!r}"
    if not followed or not in_context:
        return
    more = Counter(there) - Counter(said) - dialogue.forgotten
    assert not more, f"{conversation.id} has what the transcript does not: {dict(more)}: it has {there}, of {said}"
    if dialogue.in_order and not dialogue.forgotten:
        assert there == said, f"{conversation.id} has {there} in the place of {said}"


def _markers(entries: Sequence[Entry]) -> list[str]:
    markers: list[str] = []
    for entry in entries:
        match entry:
            case AssistantEntry():
                markers.extend(_ANSWER.findall(entry.text))
            case ToolEntry():
                markers.append(str(entry.content))
            case SystemEntry():
                markers.append(entry.text)
            case _:
                pass
    return markers


def check_anchor_is_true(store: Store, delivered: Delivered, *, just_now: bool) -> Conversation:
    """An answer's anchor leads to the conversation that has the answer; gives that conversation.

    Args:
        store: What the server keeps.
        delivered: The answer.
        just_now: Whether the answer must be the last that the conversation has.
    """
    anchor, turn = delivered.anchor, delivered.turn
    conversation = _conversation(store, anchor)
    assert not conversation.deleted
    assert conversation.agent_id == anchor.agent_id
    assert anchor.message_id is not None, "an answer has a message"
    assert set(anchor.message_ids) <= conversation.entries.keys(), "the answer is somewhere else"
    stored = [store.messages[message_id] for message_id in anchor.message_ids]
    texts = "".join(_text(message) for message in stored if message.role in ("assistant", "approval"))
    assert turn.text == texts, f"the answer is {turn.text!r}, and stored is {texts!r}"
    last = store.messages[anchor.message_id]
    waiting = [call.id for call in last.tool_calls or ()] if last.is_approval_request else []
    assert [call.tool_call_id for call in anchor.pending] == waiting
    if just_now:
        assert conversation.in_context[-1] == anchor.message_id, "something came after the answer"
    return conversation


def _conversation(store: Store, anchor: Anchor) -> Conversation:
    if anchor.conversation_id == "default":
        return store.agent(anchor.agent_id or "").default
    return store.conversations[anchor.conversation_id]


def check_answers_the_question(entries: Sequence[Entry], delivered: Delivered) -> None:
    """The answer is to what the user said last."""
    if not (said := numbers_of(entries)):
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
        if arrival.followed is not None:
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
        went_on = old.followed is not None and old.conversation_id == old.followed.conversation_id
        same_place = went_on and old.conversation_id == arrival.conversation_id
        if same_place and arrival.agent_id == old.agent_id and identity_of(arrival.entries) == identity_of(old.entries):
            assert arrival.delivered.anchor.message_id == old.delivered.anchor.message_id, "a re-run made a new answer"


def check_sends_the_same_again(
    first: Sequence[PreparedTurn], second: Sequence[PreparedTurn], *, to_the_same_place: bool
) -> None:
    """What is sent again has otids of what was sent before it.

    Args:
        first: What was sent before something went wrong.
        second: What was sent for the same transcript afterwards.
        to_the_same_place: Whether it must go to the same conversation; else it does not matter what is sent elsewhere.
    """
    before = {(one.conversation_id, one.request.otids) for one in first if one.request}
    after = {(one.conversation_id, one.request.otids) for one in second if one.request}
    places = {place for place, _ in before} & {place for place, _ in after}
    if before and (places or to_the_same_place):
        assert before & after, f"{before} became {after}"


def arrival_of(entries: Sequence[Entry], delivered: Delivered, agent_id: str) -> Arrival:
    """Note an answer."""
    last = max((i for i, entry in enumerate(entries) if _is_by(agent_id, entry)), default=-1)
    answered = entries[last] if last >= 0 else None
    return Arrival(
        agent_id=agent_id,
        entries=tuple(entries),
        followed=answered.anchor if isinstance(answered, AssistantEntry) else None,
        tail=identity_of(entries[last + 1 :]),
        delivered=delivered,
    )


def _is_by(agent_id: str, entry: Entry) -> bool:
    return isinstance(entry, AssistantEntry) and entry.anchor is not None and entry.anchor.agent_id == agent_id
