"""Users and their programs: plays a scenario move by move, on dialogues that are kept as frameworks keep them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain, count, repeat

from letta_adapters.transcript import Anchor, AssistantEntry, Call, HumanEntry, ToolEntry
from tests.properties import moves as m
from tests.properties.deliveries import Deliveries
from tests.properties.dialogues import Dialogue
from tests.properties.model import SAME, human_text

__all__ = ["World"]

_ROUNDS = 6
"""Rounds of tools that a program runs before it gives up."""

Mishaps = Iterator[m.Mishap | None]


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
        self._numbers = count(SAME + 1)
        self._ids = count(1)
        self._start()

    def play(self) -> None:
        """Play the scenario, and look at the server after each answer and at the end."""
        for move in self.scenario.moves:
            self.trace.append(move)
            self._make(move)
            self._double.let_time_pass()
        self._deliveries.check()

    def _make(self, move: m.Move) -> None:
        match move:
            case m.Start():
                self._start()
            case m.Restart():
                self._deliveries.restart()
            case m.Say():
                self._say(self._of(move.dialogue), move)
            case m.Work():
                self._work(self._of(move.dialogue), move)
            case m.Regenerate():
                self._regenerate(self._of(move.dialogue), move)
            case m.Edit():
                self._edit(self._of(move.dialogue), move)
            case m.Rewind():
                self._rewind(self._of(move.dialogue), move.which)
            case m.Join():
                self._join(self._of(move.dialogue), self._of(move.other))
            case m.Together():
                self._together(self._of(move.dialogue), move)
            case _:
                self._bend(self._of(move.dialogue), move)

    def _bend(self, dialogue: Dialogue, move: m.Bending) -> None:
        """What needs no delivery."""
        match move:
            case m.Foreign():
                self._answered_by_another_model(dialogue, calls=move.calls)
            case m.System():
                dialogue.put_system(f"$ instruction {next(self._ids)} $", leading=move.leading)
            case m.Strip():
                dialogue.strip()
            case m.Trim():
                dialogue.trim(move.keep)
            case m.Delete():
                self._delete(dialogue)
            case m.Compact():
                self._compact(dialogue)
            case m.Stranger():
                self._stranger(dialogue, calls=move.calls)

    def _of(self, index: int) -> Dialogue:
        return self.dialogues[index % len(self.dialogues)]

    def _start(self) -> None:
        self.dialogues.append(Dialogue(thread_id=f"thread-{len(self.dialogues)}"))

    def _id(self, kind: str) -> str | None:
        return f"{kind}-{next(self._ids)}" if self.scenario.ids else None

    def _human(self, rounds: tuple[int, ...] = (), *, same: bool = False, id: str | None = None) -> HumanEntry:
        number = SAME if same else next(self._numbers)
        self._double.model.rounds[number] = () if same else rounds
        return HumanEntry(content=human_text(number), id=id or self._id("human"))

    def _result(self, call_id: str, name: str = "add") -> ToolEntry:
        return ToolEntry(tool_call_id=call_id, content=f"={next(self._ids)}=", name=name, id=self._id("tool"))

    # Moves that ask.

    def _say(self, dialogue: Dialogue, move: m.Say) -> None:
        for number in range(move.count):
            rounds = move.rounds if number == move.count - 1 else ()
            known = "human-as-always" if self.scenario.ids and move.same and move.same_id else None
            dialogue.entries.append(self._human(rounds, same=move.same, id=known))
        self._ask(dialogue, _each(move.mishaps), agent=move.agent, works=move.works)

    def _ask(self, dialogue: Dialogue, mishaps: Mishaps, *, agent: int = 0, works: bool = True) -> None:
        """Deliver, and run the tools that are asked for."""
        self._deliveries.deliver(dialogue, agent, next(mishaps))
        for _ in range(_ROUNDS if works else 0):
            if not dialogue.open_calls():
                return
            dialogue.entries += [self._result(call_id) for call_id in dialogue.open_calls()]
            self._deliveries.deliver(dialogue, agent, next(mishaps))

    def _work(self, dialogue: Dialogue, move: m.Work) -> None:
        calls = dialogue.open_calls()
        if not calls:
            return
        agent = self._deliveries.agents.index(dialogue.anchors()[-1].agent_id or "")
        given = [call_id for call_id, wanted in zip(calls, chain(move.given, repeat(True)), strict=False) if wanted]
        results = [self._result(call_id) for call_id in given]
        results = [*results, *(results[:1] if move.twice else ())]
        dialogue.entries += reversed(results) if move.backwards else results
        if move.says or not results:
            dialogue.entries.append(self._human())
        self._ask(dialogue, _each(move.mishaps), agent=agent, works=False)

    def _regenerate(self, dialogue: Dialogue, move: m.Regenerate) -> None:
        places = dialogue.askable()
        if places:
            del dialogue.entries[places[-1 - move.which % len(places)] + 1 :]
            self._deliveries.saying_it_again_is_new()
            self._ask(dialogue, _each(move.mishaps))

    def _edit(self, dialogue: Dialogue, move: m.Edit) -> None:
        places = dialogue.said_so_far()
        if places:
            place = places[-1 - move.which % len(places)]
            self._deliveries.saying_it_again_is_new()
            old = dialogue.entries[place]
            dialogue.entries[place:] = [self._human(id=old.id if move.keeps_id else None)]
            self._ask(dialogue, _each(move.mishaps))

    def _rewind(self, dialogue: Dialogue, which: int) -> None:
        places = dialogue.answers_so_far()
        if places:
            self._deliveries.saying_it_again_is_new()
            self.dialogues.append(dialogue.copy(places[-1 - which % len(places)] + 1))

    def _join(self, dialogue: Dialogue, other: Dialogue) -> None:
        if dialogue is not other and dialogue.entries and other.entries:
            self._deliveries.saying_it_again_is_new()
            joined = dialogue.joined_with(other)
            joined.entries.append(self._human())
            self.dialogues.append(joined)
            self._ask(joined, _each(()))

    def _together(self, dialogue: Dialogue, move: m.Together) -> None:
        self._deliveries.saying_it_again_is_new()
        branches = [dialogue.copy() for _ in range(move.count)]
        rounds = (1,) if move.calls else ()
        human = self._human(rounds)
        for branch in branches:
            branch.entries.append(human)
            human = human if move.same else self._human(rounds)
        self._deliveries.together(branches, move.schedule)
        self.dialogues += branches

    # What happens without a delivery.

    def _answered_by_another_model(self, dialogue: Dialogue, *, calls: bool) -> None:
        dialogue.entries.append(self._human())
        if calls:
            call = Call(tool_call_id=f"foreign-{next(self._ids)}", name="look", arguments="{}")
            dialogue.entries.append(AssistantEntry(calls=(call,), id=self._id("foreign")))
            dialogue.entries.append(self._result(call.tool_call_id, name="look"))
        dialogue.entries.append(AssistantEntry(text=f"~{next(self._ids)}~", id=self._id("foreign"), name="other"))

    def _delete(self, dialogue: Dialogue) -> None:
        if dialogue.anchors() and self.scenario.pinned is None:
            self._double.ask("DELETE", f"/v1/conversations/{dialogue.anchors()[-1].conversation_id}")

    def _compact(self, dialogue: Dialogue) -> None:
        if dialogue.anchors():
            self._of_anchor(dialogue.anchors()[-1], "compact", {})

    def _stranger(self, dialogue: Dialogue, *, calls: bool) -> None:
        if dialogue.anchors():
            number = next(self._numbers)
            self._double.model.rounds[number] = (1,) if calls else ()
            body: dict[str, object] = {"input": human_text(number), "client_tools": [{"name": "add"}]}
            self._of_anchor(dialogue.anchors()[-1], "messages", body)

    def _of_anchor(self, anchor: Anchor, what: str, body: dict[str, object]) -> None:
        """What somebody else asks of the conversation of an anchor."""
        body = {**body, "agent_id": anchor.agent_id}
        self._double.ask("POST", f"/v1/conversations/{anchor.conversation_id}/{what}", body)


def _each(mishaps: tuple[m.Mishap | None, ...]) -> Mishaps:
    return chain(mishaps, repeat(None))
