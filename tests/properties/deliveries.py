"""Deliveries of dialogues to a server, and what must be true after each of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from itertools import chain, count, cycle
from uuid import NAMESPACE_URL, uuid5

from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Delivered, Flow, Thread, TurnOptions
from letta_adapters.errors import LettaError, TurnFailed
from letta_adapters.planner import Target
from letta_adapters.policies import Policies
from letta_adapters.transcript import Anchor, AssistantEntry, Call
from letta_adapters.wire import ClientTool
from tests.core.play import Clock
from tests.properties.carrier import URL, CallerLeft, Carrying, Fault, Process, ProcessDied, Wire, carry, carry_out
from tests.properties.dialogues import Dialogue, identity_of, numbers_of
from tests.properties.invariants import (
    Arrival,
    arrival_of,
    check_anchor_is_true,
    check_answers_the_question,
    check_branches_are_apart,
    check_everything_is_told,
    check_is_the_same_answer,
    check_nothing_is_twice,
    check_sends_the_same_again,
)
from tests.properties.moves import Mishap, Scenario
from tests.properties.rehearsal import rehearsed
from tests.properties.server import Double

__all__ = ["Deliveries"]

_OPTIONS = TurnOptions(client_tools=(ClientTool(name="add", description="Add."), ClientTool(name="look")))


class Deliveries:
    """A server, and the process that delivers to it.

    Args:
        scenario: Where all this is.
        loop: What the server runs in.
        trace: Is told what happens, for people.
    """

    def __init__(self, scenario: Scenario, loop: asyncio.AbstractEventLoop, trace: list[object]) -> None:
        self.scenario = scenario
        self.double = Double(loop, redis=scenario.redis, forks_at_message=scenario.forks_at_message)
        self.agents = [self.double.add_agent(parallel_calls=scenario.parallel_calls).id for _ in range(2)]
        self.pinned = self._pinned()
        self._trace = trace
        self._clock = Clock()
        self._names = count()
        self._process = self._new_process()
        self._arrivals: list[Arrival] = []
        self._failed: set[int] = set()  # numbers of messages whose turn failed after it was stored
        self._words_are_enough = True  # whether the same words are the same message

    def _pinned(self) -> str | None:
        if self.scenario.pinned != "conversation":
            return self.scenario.pinned
        body = self.double.ask("POST", "/v1/conversations/", {}, agent_id=self.agents[0])
        return str(json.loads(body)["id"])

    def _new_process(self) -> Process:
        return Process(clock=self._clock, name=f"{self.agents[0]}-{next(self._names)}")

    def restart(self) -> None:
        """Go on in another process."""
        self._process = self._new_process()

    def saying_it_again_is_new(self) -> None:
        """Nobody can tell the same words in a pinned conversation from what was said before, if they have no ids."""
        if self.pinned and not self.scenario.ids:
            self._words_are_enough = False

    def check(self) -> None:
        """Check what must be true when all is over."""
        check_nothing_is_twice(self.double.store, words_are_enough=self._words_are_enough)
        check_branches_are_apart([arrival for arrival in self._arrivals if self._followed(arrival.agent_id)])

    def _followed(self, agent_id: str) -> bool:
        return self.pinned is None or agent_id != self.agents[0]

    def deliver(self, dialogue: Dialogue, agent: int, mishap: Mishap | None) -> None:
        """Deliver once, or twice where the first time went wrong."""
        first = self._wire(mishap.fault if mishap else None)
        if self._try(dialogue, agent, first) or not (mishap and mishap.again):
            return
        second = self._wire(None)
        self._try(dialogue, agent, second)
        if self.scenario.on_rerun == "attach" and mishap.fault.kind != "model":
            remembered = mishap.fault.kind in ("down", "mute")
            if remembered or self.scenario.ids:
                check_sends_the_same_again(first.sent, second.sent, to_the_same_place=remembered)

    def together(self, branches: Sequence[Dialogue], schedule: Sequence[int]) -> None:
        """Deliver several dialogues at once, step by step, in the order of the schedule."""
        flows = [self._flow(branch, 0, task=number) for number, branch in enumerate(branches)]
        under_way = {i: carry(flow, self._wire(None), self._process) for i, flow in enumerate(flows)}
        order: Iterator[int] = chain(schedule, cycle(range(len(branches))))
        while under_way:
            number = next(order) % len(branches)
            delivered = _step(under_way[number]) if number in under_way else None
            if delivered is not None:
                del under_way[number]
                self._arrived(branches[number], 0, delivered, alone=False)

    def _wire(self, fault: Fault | None) -> Wire:
        return Wire(double=self.double, fault=fault)

    def _flow(self, dialogue: Dialogue, agent: int, *, task: int = 0) -> Flow:
        return delivery(
            list(dialogue.entries),
            Target(agent_id=self.agents[agent], conversation_id=self.pinned if agent == 0 else None),
            server=URL,
            policies=Policies(on_rerun="attach" if self.pinned else self.scenario.on_rerun),
            options=_OPTIONS,
            thread=self._thread(dialogue, task),
            patience=self._process.patience(),
            memory=self._process.memory,
        )

    def _thread(self, dialogue: Dialogue, task: int) -> Thread | None:
        """The place in a LangGraph program: a step that is run again is in the same place."""
        if not self.scenario.threads:
            return None
        entries = dialogue.entries
        name = uuid5(NAMESPACE_URL, repr((identity_of(entries), task)))
        return Thread(thread_id=dialogue.thread_id, namespace=f"model:{name}", step=len(entries))

    def _try(self, dialogue: Dialogue, agent: int, wire: Wire) -> bool:
        fault = wire.fault
        if fault is not None and fault.kind == "model":
            self.double.model.fail_once(fault.at)
        if self.scenario.rehearses and not self.double.busy:  # else the server's state changes in between
            planned = rehearsed(self._flow(dialogue, agent), self.double)
            assert rehearsed(self._flow(dialogue, agent), self.double) == planned, "two plans of the same"
        try:
            delivered = carry_out(carry(self._flow(dialogue, agent), wire, self._process))
        except (LettaError, ProcessDied, CallerLeft) as error:
            self._went_wrong(error, dialogue, fault)
            return False
        finally:
            self.double.model.calm()
        self._arrived(dialogue, agent, delivered)
        return True

    def _went_wrong(
        self, error: LettaError | ProcessDied | CallerLeft, dialogue: Dialogue, fault: Fault | None
    ) -> None:
        self._trace.append(error)
        if isinstance(error, ProcessDied):
            self.restart()
        if isinstance(error, ProcessDied | CallerLeft):
            self.saying_it_again_is_new()
        if not self.scenario.redis:  # nobody keeps others away from what such a server still does
            self.double.let_time_pass()
        last = numbers_of(dialogue.entries)[-1:]
        if fault is None and not (isinstance(error, TurnFailed) and self._failed.issuperset(last)):
            raise AssertionError(f"a delivery failed though nothing was wrong: {error!r}") from error
        if isinstance(error, TurnFailed) and error.run_id and any(self.double.store.of_run(error.run_id)):
            self._failed.update(last)
            self.saying_it_again_is_new()

    def _arrived(self, dialogue: Dialogue, agent: int, delivered: Delivered, *, alone: bool = True) -> None:
        """Check an answer, and put it into the dialogue as a framework does: through JSON."""
        store, entries = self.double.store, dialogue.entries
        followed = self._followed(self.agents[agent])
        arrival = arrival_of(entries, delivered, self.agents[agent])
        again = arrival.repeats(self._arrivals)
        conversation = check_anchor_is_true(store, delivered, just_now=alone and not again)
        told = dialogue if followed else dialogue.since_the_last_answer(self.pinned or "")
        told = told.without_system() if again else told  # other instructions do not make it another request
        check_everything_is_told(store, told, conversation, upto=delivered.anchor.message_id or "", followed=followed)
        if followed or not arrival.is_given_again(self._arrivals):  # a request in one with more has the answer to that
            check_answers_the_question(entries, delivered)
        if self.scenario.ids and followed and self.scenario.on_rerun == "attach":
            check_is_the_same_answer(arrival, self._arrivals)
        self._arrivals.append(arrival)
        entries.append(_entry(delivered))
        self._trace.append(delivered.anchor)


def _step(carrying: Carrying) -> Delivered | None:
    try:
        next(carrying)
    except StopIteration as finished:
        return finished.value
    except LettaError as error:
        raise AssertionError(f"a delivery among others failed: {error!r}") from error
    return None


def _entry(delivered: Delivered) -> AssistantEntry:
    turn = delivered.turn
    calls = [Call(tool_call_id=call.tool_call_id, name=call.name, arguments=call.arguments) for call in turn.pending]
    anchor = Anchor.from_metadata(json.loads(json.dumps(delivered.anchor.to_metadata())))
    return AssistantEntry(text=turn.text, calls=tuple(calls), anchor=anchor, id=turn.answer_id)
