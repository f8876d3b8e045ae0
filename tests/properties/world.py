"""Users and their programs: plays a scenario move by move, on dialogues that are kept as frameworks keep them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain, repeat

from letta_adapters.transcript import Anchor, AssistantEntry, Call, HumanEntry, PendingRef
from tests.properties import moves as m
from tests.properties.deliveries import Ask, Deliveries
from tests.properties.dialogues import FORGED, Dialogue
from tests.properties.model import NOBODY, SAME, human_text
from tests.properties.saying import Speech

__all__ = ["World"]

_ROUNDS = 6
"""Rounds of tools that a program runs before it gives up."""

Mishaps = Sequence[m.Mishap | None]


class World:
    """One example.

    Args:
        scenario: What happens.
        loop: What the server runs in.
    """

    def __init__(self, scenario: m.Scenario, loop: asyncio.AbstractEventLoop) -> None:
        self.scenario = scenario
        self.trace: list[object] = []
        self.dialogues: list[Dialogue] = []
        self._deliveries = Deliveries(scenario, loop, self.trace)
        self._double = self._deliveries.double
        self._speech = Speech(ids=scenario.ids, names=scenario.names, parts=scenario.parts)
        self._start()

    def play(self) -> None:
        """Play the scenario, and look at the server after each answer and at the end."""
        for move in self.scenario.moves:
            self.trace.append(move)
            self._make(move)
            self._double.let_time_pass()
        self._deliveries.check()
        self._speech.check(self._double.all_kept())

    def _make(self, move: m.Move) -> None:
        match move:
            case m.Start():
                self._start()
            case m.Restart():
                self._deliveries.restart()
            case m.Switch():
                self._deliveries.switch()
            case m.Configure():
                self._deliveries.configure(move)
            case _:
                self._go_on(move)

    def _go_on(self, move: m.Asking | m.Bending) -> None:
        match move:
            case m.Say():
                self._say(self._of(move.dialogue), move)
            case m.Work():
                self._work(self._of(move.dialogue), move)
            case m.Regenerate():
                self._regenerate(self._of(move.dialogue), move)
            case m.Edit():
                self._edit(self._of(move.dialogue), move)
            case m.Insist():
                self._insist(self._of(move.dialogue), move)
            case m.Join():
                self._join(self._of(move.dialogue), self._of(move.other))
            case m.Together():
                self._together(self._of(move.dialogue), move)
            case _:
                self._bend(self._of(move.dialogue), move)

    def _bend(self, dialogue: Dialogue, move: m.Bending) -> None:
        """What needs no delivery."""
        match move:
            case m.Rewind():
                self._rewind(dialogue, move.which)
            case m.Foreign():
                self._answered_by_another_model(dialogue, calls=move.calls)
            case m.System():
                dialogue.put_system(f"$ instruction {self._speech.mark()} $", leading=move.leading)
            case m.Strip():
                self._deliveries.saying_it_again_is_new(without_metadata=True)
                dialogue.strip()
            case m.Trim():
                dialogue.trim(move.keep)
            case m.Delete():
                self._delete(dialogue)
            case m.Compact():
                self._compact(dialogue)
            case m.Stranger():
                self._stranger(dialogue, calls=move.calls)
            case m.Forge():
                self._forge(dialogue, move)

    def _of(self, index: int) -> Dialogue:
        return self.dialogues[index % len(self.dialogues)]

    def _start(self) -> None:
        self.dialogues.append(Dialogue(thread_id=f"thread-{len(self.dialogues)}"))

    def _human(self, rounds: tuple[int, ...] = (), *, same: bool = False, id: str | None = None) -> HumanEntry:
        number = SAME if same else self._speech.number()
        self._double.model.rounds[number] = () if same else rounds
        return self._speech.human(number, id=id)

    # Moves that ask.

    def _say(self, dialogue: Dialogue, move: m.Say) -> None:
        for number in range(move.count):
            rounds = move.rounds if number == move.count - 1 else ()
            known = "human-as-always" if self.scenario.ids and move.same and move.same_id else None
            dialogue.entries.append(self._human(rounds, same=move.same, id=known))
        self._double.compact_by_itself(always=move.compacts)
        self._ask(Ask(dialogue=dialogue, agent=move.agent), move.mishaps, works=move.works)
        self._double.let_time_pass()
        self._double.compact_by_itself(always=False)

    def _ask(self, ask: Ask, mishaps: Mishaps = (), *, works: bool = True) -> None:
        """Deliver, and run the tools that are asked for."""
        wrong = chain(mishaps, repeat(None))
        self._deliveries.deliver(ask, next(wrong))
        for _ in range(_ROUNDS if works else 0):
            calls = ask.dialogue.waits_for()
            if calls is None:
                return
            ask.dialogue.entries += [self._speech.result_of(calls, one.tool_call_id) for one in calls.pending]
            self._deliveries.deliver(ask, next(wrong))

    def _work(self, dialogue: Dialogue, move: m.Work) -> None:
        calls = dialogue.waits_for()
        if calls is None:
            return
        given = [one for one, wanted in zip(calls.pending, chain(move.given, repeat(True)), strict=False) if wanted]
        results = [self._speech.result_of(calls, one.tool_call_id) for one in given]
        results = [*results, *(results[:1] if move.twice else ())]
        dialogue.entries += reversed(results) if move.backwards else results
        if move.says or not results:
            dialogue.entries.append(self._human())
        self._ask(Ask(dialogue=dialogue, agent=self._agent_of(dialogue)), move.mishaps, works=False)

    def _insist(self, dialogue: Dialogue, move: m.Insist) -> None:
        # In a shared conversation others deny the calls that wait, too, and whoever does the same gets their answer.
        others_may_deny = bool(self.scenario.pinned) and dialogue.waits_for() is not None
        if dialogue.entries and not dialogue.is_only_instructions() and not others_may_deny:
            self._double.model.rounds[NOBODY] = (1,) if move.obeys else ()
            self._ask(Ask(dialogue=dialogue, agent=self._agent_of(dialogue), must_call=("add",)), move.mishaps)
            self._double.let_time_pass()
            self._double.model.rounds[NOBODY] = ()

    def _agent_of(self, dialogue: Dialogue) -> int:
        anchors = dialogue.anchors()
        return self._deliveries.agents.index(anchors[-1].agent_id or "") if anchors else 0

    def _regenerate(self, dialogue: Dialogue, move: m.Regenerate) -> None:
        places = dialogue.askable()
        if places:
            del dialogue.entries[places[-1 - move.which % len(places)] + 1 :]
            self._deliveries.saying_it_again_is_new()
            self._ask(Ask(dialogue=dialogue), move.mishaps)

    def _edit(self, dialogue: Dialogue, move: m.Edit) -> None:
        places = dialogue.said_so_far()
        if places:
            place = places[-1 - move.which % len(places)]
            self._deliveries.saying_it_again_is_new()
            old = dialogue.entries[place]
            dialogue.entries[place:] = [self._human(id=old.id if move.keeps_id else None)]
            self._ask(Ask(dialogue=dialogue), move.mishaps)

    def _rewind(self, dialogue: Dialogue, which: int) -> None:
        places = dialogue.answers_so_far()
        if places:
            self._deliveries.saying_it_again_is_new()
            self.dialogues.append(dialogue.copy(places[-1 - which % len(places)] + 1))

    def _join(self, dialogue: Dialogue, other: Dialogue) -> None:
        # Joins of what was trimmed or joined before may be told wrong (limits, docs/planner.md).
        whole = all(one.in_order and not one.forgotten and one.entries for one in (dialogue, other))
        if dialogue is not other and whole:
            self._deliveries.saying_it_again_is_new()
            joined = dialogue.joined_with(other)
            joined.entries.append(self._human())
            self.dialogues.append(joined)
            self._ask(Ask(dialogue=joined))

    def _together(self, dialogue: Dialogue, move: m.Together) -> None:
        self._deliveries.saying_it_again_is_new()
        branches = [dialogue.copy() for _ in range(move.count)]
        rounds = (1,) if move.calls else ()
        human = self._human(rounds)
        for branch in branches:
            branch.entries.append(human)
            human = human if move.same else self._human(rounds)
        self._deliveries.together(branches, move)
        self.dialogues += branches

    # What happens without a delivery.

    def _answered_by_another_model(self, dialogue: Dialogue, *, calls: bool) -> None:
        dialogue.entries.append(self._human())
        if calls:
            number = 0 if self.scenario.counts_calls else f"of-another-{self._speech.mark()}"
            call = Call(tool_call_id=f"call_{number}", name="look", arguments="{}")
            dialogue.entries.append(AssistantEntry(calls=(call,), id=self._speech.id("foreign")))
            dialogue.entries.append(self._speech.result(call.tool_call_id, call.name))
        said = AssistantEntry(text=f"~{self._speech.mark()}~", id=self._speech.id("foreign"), name="other")
        dialogue.entries.append(said)

    def _delete(self, dialogue: Dialogue) -> None:
        if dialogue.anchors() and self.scenario.pinned is None:
            self._double.ask("DELETE", f"/v1/conversations/{dialogue.anchors()[-1].conversation_id}")

    def _compact(self, dialogue: Dialogue) -> None:
        if dialogue.anchors():
            self._of_anchor(dialogue.anchors()[-1], "compact", {})

    def _stranger(self, dialogue: Dialogue, *, calls: bool) -> None:
        if dialogue.anchors():
            number = self._speech.strangers_number()
            self._double.model.rounds[number] = (1,) if calls else ()
            body: dict[str, object] = {"input": human_text(number), "client_tools": [{"name": "add"}]}
            self._of_anchor(dialogue.anchors()[-1], "messages", body)

    def _forge(self, dialogue: Dialogue, move: m.Forge) -> None:
        anchored = dialogue.anchored()
        if not self.scenario.signed or not anchored:
            return
        place, anchor = anchored[-1 - move.which % len(anchored)]
        changes = self._somewhere_else() if move.elsewhere else {"pending": (PendingRef(tool_call_id="c", name="add"),)}
        altered = anchor.model_copy(update={**changes, "stop_reason": FORGED})
        match move.signature:
            case "stale":
                pass
            case "none":
                altered = altered.model_copy(update={"signature": None})
            case "other":
                altered = altered.signed("another secret")
        dialogue.put_anchor(place, altered)

    def _somewhere_else(self) -> dict[str, object]:
        """Where somebody else talks with the agent, and nobody may follow."""
        conversation_id = self._deliveries.new_conversation()
        body = {"input": human_text(self._speech.strangers_number())}
        self._double.ask("POST", f"/v1/conversations/{conversation_id}/messages", body)
        self._deliveries.forbid(conversation_id)
        store = self._double.store
        return {
            "conversation_id": conversation_id,
            "message_id": store.conversations[conversation_id].in_context[-1],
        }

    def _of_anchor(self, anchor: Anchor, what: str, body: dict[str, object]) -> None:
        """What somebody else asks of the conversation of an anchor."""
        body = {**body, "agent_id": anchor.agent_id}
        self._double.ask("POST", f"/v1/conversations/{anchor.conversation_id}/{what}", body)
