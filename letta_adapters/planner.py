"""The planner: what of a transcript the server does not have yet, as one request. Pure, no I/O.

`plan` goes by rules, each a small function here or in the module that it names:

1. anchor and tail: what follows the last answer of this agent (pinned: of this conversation) is new (`anchoring`);
2. tool results: one approval message, first, that answers every pending call (`tail`);
3. human messages, with their text and images (`tail`);
4. foreign turns, of another model or another agent, are told: as the assistant's words, or as text (`tail`);
5. system messages: sent when new or changed, or as an override, or not at all (`system_text`);
6. an empty tail: a forced tool call is asked for once, by name; anything else is an error;
7. identity: otids that are the same whenever the same thing is sent again (`identity`);
8. alignment: what the conversation has already is left out; one that went another way is forked (`alignment`);
9. pending calls that the transcript does not know of are denied, where that may be done (`pending`);
10. a conversation that is made for a place in a program is found again (`creation`).

Where a rule needs to know what the server holds, the plan says what to read (`reads`) and is made again with the
answer. `docs/planner.md` walks through each rule.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from letta_adapters.alignment import Seen, align, answered_otherwise
from letta_adapters.anchoring import Position, Target, position_of, without_repeated_results
from letta_adapters.errors import Divergence, NothingToSend
from letta_adapters.identity import LEADING, Item, is_repeatable
from letta_adapters.plans import Held, Into, Plan, Reads, held_in
from letta_adapters.policies import Policies
from letta_adapters.system_text import system_text
from letta_adapters.tail import answers, item, result_of, results_of_others, said
from letta_adapters.transcript import Entry, HumanEntry, SystemEntry, ToolEntry
from letta_adapters.wire import (
    MessageCreate,
    ToolReturn,
    Unknown,
)

__all__ = ["Plan", "Seen", "Target", "plan"]

_LOG = logging.getLogger("letta_adapters.planner")


def plan(
    transcript: Sequence[Entry],
    target: Target,
    *,
    policies: Policies | None = None,
    must_call: Sequence[str] = (),
    seen: Seen | None = None,
    settle: Sequence[str] = (),
    settle_in: str | None = None,
    into: Into | None = None,
    look: bool = False,
) -> Plan:
    """Work out what to send.

    Args:
        transcript: The whole dialogue.
        target: Where it goes.
        policies: What is decided by whoever sends.
        must_call: Names of the tools one of which the framework wants called.
        seen: What was read, where a plan asked for it.
        settle: Ids of the calls that the server waits for, where it said so; each is answered or denied.
        settle_in: The message that asks for them; results in the transcript are of them only if it is the anchor's.
        into: The conversation that the transcript goes on in, whatever its anchors say.
        look: Whether the conversation is to be looked at in any case.

    Raises:
        ValueError: There is nothing to send: an empty transcript, only system messages, an empty human message.
        NothingToSend: The transcript ends with the agent's own answer.
        Divergence: The conversation went another way, and `on_divergence` is `"error"`.
    """
    _check_something_is_said(transcript)
    here = position_of(transcript, target, afresh=into is not None and not into.at_anchor)
    _check_nothing_is_empty(here)
    draft = _Draft(
        here=here,
        target=target,
        policies=policies or Policies(),
        must_call=must_call,
        settle=settle,
        settle_in=settle_in,
        into=into,
        look=look,
    )
    if seen is not None:
        made = draft.aligned(seen)
    elif here.anchor is not None and here.anchor.is_partial:
        made = draft.for_the_end_of_a_run(here.anchor.run_id)
    else:
        made = draft.unseen()
    _LOG.debug("plan: %s", "; ".join(made.reasons))
    return made


def _check_something_is_said(transcript: Sequence[Entry]) -> None:
    if not transcript:
        raise ValueError("The list of messages is empty; there is nothing to send.")
    if all(isinstance(entry, SystemEntry) for entry in transcript):
        raise ValueError("There are only system messages; add a human message to answer.")


def _check_nothing_is_empty(here: Position) -> None:
    for position, entry in here.tail:
        if isinstance(entry, HumanEntry) and not entry.content:
            raise ValueError(f"Message {here.start + position} (human) is empty; a Letta server refuses that.")


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A plan in the making: what it is made of."""

    here: Position
    target: Target
    policies: Policies
    must_call: Sequence[str]
    settle: Sequence[str]
    settle_in: str | None
    into: Into | None
    look: bool

    @property
    def conversation_id(self) -> str | None:
        """Where it goes; `None` for a conversation that has to be made."""
        if self.into is not None:
            return self.into.conversation_id
        anchor = self.here.anchor
        return self.target.conversation_id or (anchor.conversation_id if anchor else None)

    def for_the_end_of_a_run(self, run_id: str | None) -> Plan:
        """Nothing can be said about a transcript whose last answer was not seen to its end."""
        reason = f"rule 1: the last answer is part of one; how {run_id} ended has to be read"
        return Plan(
            conversation_id=self.conversation_id,
            agent_id=self.target.agent_id,
            reads="run",
            run_id=run_id,
            reasons=(reason,),
        )

    def unseen(self) -> Plan:
        """The plan as far as the transcript alone tells."""
        made = self.request(held=None)
        return replace(made, reads=self._reads(made))

    def aligned(self, seen: Seen) -> Plan:
        """The plan in view of what the conversation holds (rule 8)."""
        if self.here.anchor is not None or not self.target.pinned:
            return self._beside(seen, None)
        # A re-run is told by the request as it was when the conversation had not heard the system text yet.
        held = held_in(seen.rows)
        before = self._beside(seen, replace(held, system_texts=frozenset()))
        return before if before.stored_run_id is not None else self._beside(seen, held)

    def _beside(self, seen: Seen, held: Held | None) -> Plan:
        made = self.request(held=held)
        answering = made.items if self._is_awaited else ()
        too_late = answered_otherwise(answering, self._other_results(), self._behind_anchor(seen))
        if too_late:
            made = self.request(held=held, too_late=too_late)
        run_id = self.here.anchor.run_id if self.here.anchor else None
        scope = made.scope(made.conversation_id or "")
        found = align(made.items, scope, seen, repeatable=made.repeatable, own_run=run_id)
        unread = seen.unread and found.runs[-1] is None
        if (found.stranger is not None or unread) and self._on_divergence != "append":
            return self._diverged(made, found.stranger.run_id if found.stranger is not None else None)
        missing = _missing(made, found.runs) if found.runs[-1] is not None else ()
        if missing and seen.anchored and self._on_divergence != "append":
            return self._diverged(made, found.runs[-1])
        if missing:
            return replace(made, items=missing).because(f"rule 8: {len(missing)} messages came in before what is there")
        return self._left(made, found.runs, seen)

    def _left(self, made: Plan, runs: Sequence[str | None], seen: Seen) -> Plan:
        """Leave out what is there. The last message tells: where it is stored too, the request was made before."""
        last = runs[-1]
        kept = tuple(item for item, run_id in zip(made.items, runs, strict=True) if run_id == last)
        left = replace(made, items=kept, stored_run_id=last)
        if last is None:
            there = len(runs) - len(kept)
            return left.because(f"rule 8: {there} of the messages are there already") if there else left
        if any(item.position == LEADING and run_id is None for item, run_id in zip(made.items, runs, strict=True)):
            # The answer is of a request with another system text, which is what the conversation has heard.
            left = replace(left, system_hash=self.here.anchor.system_hash if self.here.anchor else None)
        if self.policies.on_rerun == "fork" and seen.anchored:
            return replace(left, forks=True).because(f"rule 8: sent before, as {last}; a fork answers anew")
        return left.because(f"rule 8: sent before, as {last}; its answer is given again")

    def _other_results(self) -> list[ToolReturn]:
        """What the transcript says of calls that the anchor waited for, where the server waits for others by now."""
        if not self.settle or self.here.anchor is None:
            return []
        asked = {call.tool_call_id for call in self.here.anchor.pending} - set(self.settle if self._is_awaited else ())
        theirs = results_of_others(self.here.tail)
        return [
            result_of(entry)
            for position, entry in self.here.tail
            if isinstance(entry, ToolEntry) and entry.tool_call_id in asked and position not in theirs
        ]

    @property
    def _is_awaited(self) -> bool:
        """Whether what waits, where something does, is the anchor's: some models use ids again and again."""
        anchor = self.here.anchor
        return anchor is None or self.settle_in is None or self.settle_in == anchor.message_id

    def _behind_anchor(self, seen: Seen) -> Seen:
        """What was answered to the anchor's own calls, where others wait by now."""
        anchor = self.here.anchor
        ids = [None if isinstance(row, Unknown) else row.id for row in seen.rows]
        if self._is_awaited or anchor is None or anchor.message_id not in ids:
            return seen
        last = len(ids) - 1 - ids[::-1].index(anchor.message_id)
        return replace(seen, rows=seen.rows[last + 1 :], anchored=True)

    @property
    def _on_divergence(self) -> str:
        return self.policies.on_divergence or ("append" if self.target.pinned else "fork")

    def _diverged(self, made: Plan, run_id: str | None) -> Plan:
        if self._on_divergence == "error":
            raise Divergence(
                f"The conversation went on after {made.anchor_message_id} with messages that the transcript does not "
                "have.",
                hint="Go on with the transcript that has them, start a new one, or let it fork: on_divergence='fork'.",
                conversation_id=made.conversation_id,
                run_id=run_id,
            )
        return replace(made, forks=True).because(
            f"rule 8: the conversation went another way{f', in {run_id}' if run_id else ''}; a fork"
        )

    def _reads(self, made: Plan) -> Reads | None:
        """What a plan has to know (rules 5 and 8)."""
        if self.into is not None and (self.into.is_new or not self.into.at_anchor):
            return None if self.into.is_new else "start"
        if made.conversation_id is None:
            return None
        if self.target.pinned and self._on_divergence == "append" and not self._needs_a_look(made):
            return None
        return "after" if made.anchor_message_id else "newest"

    def _needs_a_look(self, made: Plan) -> bool:
        """Whether a pinned conversation is looked at: one new message needs none, its otid tells if it is there."""
        return self.look or self._needs_held or bool(made.answering) or len(made.items) > 1

    @property
    def _needs_held(self) -> bool:
        if self.here.anchor is not None or not self.target.pinned:
            return False
        results = any(isinstance(entry, ToolEntry) for _, entry in self.here.tail)
        return results or bool(system_text(self.here, self.policies.system_messages).to_tell)

    def request(self, *, held: Held | None, too_late: Collection[str] = ()) -> Plan:
        """Rules 1 to 6: what there is to say.

        Args:
            held: What a pinned conversation holds, where no anchor tells.
            too_late: Ids of calls that somebody answered already, in other words.
        """
        here, anchor = self.here, self.here.anchor
        tail = without_repeated_results(here)
        reasons = [_tell_position(here, self.target, self.conversation_id)]
        pending = [call_id for call_id in self._pending(held) if call_id not in too_late or not self._is_awaited]
        system = system_text(here, self.policies.system_messages)
        keep_system = self.policies.system_messages == "once"
        items = [
            *answers(tail if self._is_awaited else (), pending, reasons, here.answered),
            *system.news(here, held.system_texts if held else None, reasons),
            *said(here.inserted, None, (), too_late=(), keep_system=keep_system, more_follows=bool(tail)),
            *said(
                tail,
                here.answered,
                pending if self._is_awaited else (),
                too_late=too_late,
                keep_system=keep_system,
                earlier=here.transcript,
            ),
        ]
        # Without an anchor, what asked for the calls is one: some models use the same ids again and again.
        asked_in = held.asked_in.get(pending[0]) if held is not None and pending and not self.settle else None
        nudge = self._nudge(reasons) if not items and not (held is None and self._needs_held) else []
        return Plan(
            conversation_id=self.conversation_id,
            agent_id=self.target.agent_id,
            items=tuple([*items, *nudge]),
            repeatable=is_repeatable([*items, *nudge]) and (self.into is None or self.into.repeatable),
            anchor_message_id=anchor.message_id if anchor else asked_in,
            asked_in=None if self._is_awaited else self.settle_in,
            system_hash=system.hash,
            override_system=system.override,
            transcript_length=here.extent.length if here.extent else None,
            transcript_digest=here.extent.digest if here.extent else None,
            asked_at=here.asked_at,
            nudged=bool(nudge),
            reasons=tuple(reasons),
        )

    # Rule 2: the calls that wait.

    def _pending(self, held: Held | None) -> Sequence[str]:
        if self.settle:
            return self.settle
        if self.here.anchor is not None:
            return [call.tool_call_id for call in self.here.anchor.pending]
        given = {entry.tool_call_id for _, entry in self.here.tail if isinstance(entry, ToolEntry)}
        held = held or Held()
        # Calls that this transcript has no result for are somebody else's. Those that were answered are answered
        # again in the same words: when it was by this very request, the server knows its otids.
        for calls in (held.pending, *held.answered):
            if given.intersection(calls):
                return calls
        return ()

    # Rule 6: an empty tail.

    def _nudge(self, reasons: list[str]) -> list[Item]:
        """Ask for a tool call by name, once: a framework that forces one would ask again and again."""
        anchor = self.here.anchor
        names = ", ".join(self.must_call)
        if names and anchor is not None and not anchor.nudged:
            reasons.append(f"rule 6: nothing is new; a call to {names} is asked for")
            text = f"Answer by calling {'one of these tools' if len(self.must_call) > 1 else 'this tool'}: {names}."
            return [item("user", text, 0, f"nudge after {anchor.message_id}")]
        if names:
            raise NothingToSend(
                f"The agent was asked to call {names} and answered in words.",
                hint="Make its instructions ask for the call, or offer a way to answer without one.",
                agent_id=self.target.agent_id,
                conversation_id=self.conversation_id,
            )
        raise NothingToSend(
            "There is nothing new to send: the transcript ends with the agent's own answer.",
            hint="Add a human message or a tool result after it; to have it answered anew, leave that answer out.",
            agent_id=self.target.agent_id,
            conversation_id=self.conversation_id,
        )


def _missing(made: Plan, runs: Sequence[str | None]) -> tuple[Item, ...]:
    """What people said and is not there; what an assistant said need not be told after all."""
    return tuple(
        item
        for item, run_id in zip(made.items, runs, strict=True)
        if run_id is None
        and item.position != LEADING
        and isinstance(item.message, MessageCreate)
        and item.message.role != "assistant"
    )


def _tell_position(here: Position, target: Target, conversation_id: str | None) -> str:
    if here.anchor is not None:
        inserted = f"; {len(here.inserted)} messages came in before it" if here.inserted else ""
        return f"rule 1: goes on in {conversation_id} after {here.anchor.message_id}{inserted}"
    if here.answered is not None:
        return f"rule 1: no anchor; what follows message {here.start - 1} is new to {target.conversation_id}"
    return "rule 1: no anchor; the whole transcript is new"
