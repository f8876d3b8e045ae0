"""Deliveries of dialogues to a server, and what must be true after each of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from tests.properties.arrivals import Arrival, arrival_of
from tests.properties.carrier import URL, CallerLeft, Carrying, Fault, Process, ProcessDied, Wire, carry, carry_out
from tests.properties.dialogues import Dialogue, counting, identity_of, numbers_of
from tests.properties.instructions import check_instructions, texts_in_front, texts_of
from tests.properties.invariants import (
    check_anchor_is_true,
    check_answers_the_question,
    check_branches_are_apart,
    check_everything_is_told,
    check_goes_where_it_may,
    check_is_the_same_answer,
    check_nothing_is_twice,
    check_sends_the_same_again,
)
from tests.properties.moves import Configure, Mishap, Scenario, Together
from tests.properties.refusals import Place, check_was_refused_rightly
from tests.properties.rehearsal import rehearsed
from tests.properties.server import Double

__all__ = ["ANCHOR_KEY", "Ask", "Deliveries"]

ANCHOR_KEY = "a secret"

_OPTIONS = TurnOptions(client_tools=(ClientTool(name="add", description="Add."), ClientTool(name="look")))


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is asked of whom.

    Args:
        dialogue: The transcript; the answer is put into it.
        agent: Which of two agents.
        must_call: Tools one of which is to be called.
        task: The number of the task in its program, among those that run side by side.
    """

    dialogue: Dialogue
    agent: int = 0
    must_call: tuple[str, ...] = ()
    task: int = 0


class Deliveries:
    """A server, and the two processes that deliver to it, of which mostly one is at work.

    Args:
        scenario: Where all this is.
        loop: What the server runs in.
        trace: Is told what happens, for people.
    """

    def __init__(self, scenario: Scenario, loop: asyncio.AbstractEventLoop, trace: list[object]) -> None:
        self.scenario = scenario
        self.double = Double(
            loop,
            redis=scenario.redis,
            cloud=scenario.cloud,
            counts_calls=scenario.counts_calls,
        )
        self.agents = [self.double.add_agent(parallel_calls=scenario.parallel_calls).id for _ in range(2)]
        self.pinned = self._pinned()
        self._trace = trace
        self._clock = Clock()
        self._names = count()
        self._processes = [self._new_process(), self._new_process()]
        self._configured = Configure()
        self._arrivals: list[Arrival] = []
        self._unheard: set[str] = set()  # instructions that were passed where none are told
        self._broken = False  # whether a run may be attached to that was begun under other instructions
        self._failed: set[int] = set()  # numbers of messages whose turn failed after it was stored
        self._words_are_enough = True  # whether the same words are the same message
        # Conversations that may have words twice: those of two processes that both say them (a limit, docs/planner.md),
        # and pinned ones that are asked for a part of a request again, since nobody looks before one message is sent.
        self._crowded: set[str] = set()
        self._forbidden: dict[str, int] = {}  # conversations that only forged anchors lead to, and how much they have
        self._shares = bool(self.pinned) or any(
            isinstance(move, Configure) and move.on_divergence == "append" for move in scenario.moves
        )

    def _pinned(self) -> str | None:
        return self.scenario.pinned if self.scenario.pinned != "conversation" else self.new_conversation()

    def new_conversation(self) -> str:
        """Have a conversation made by somebody else."""
        body = self.double.ask("POST", "/v1/conversations/", {}, agent_id=self.agents[0])
        return str(json.loads(body)["id"])

    def forbid(self, conversation_id: str) -> None:
        """Nothing may ever be asked of this conversation."""
        self._forbidden[conversation_id] = self.double.stored_in(conversation_id)

    @property
    def _process(self) -> Process:
        return self._processes[0]

    def _new_process(self) -> Process:
        return Process(clock=self._clock, name=f"{self.agents[0]}-{next(self._names)}")

    def restart(self) -> None:
        """Go on in another process, instead of the one that was at work."""
        self._processes[0] = self._new_process()

    def switch(self) -> None:
        """Go on in the other process."""
        self._processes.reverse()

    def configure(self, configured: Configure) -> None:
        """Decide otherwise from here on."""
        self._configured = configured

    def saying_it_again_is_new(self, *, without_metadata: bool = False) -> None:
        """Nobody can tell the same words in a shared conversation from what was said before, if they have no ids.

        Nor where they were said after an answer whose metadata is lost: the words after that are others.
        """
        if self._shares and (without_metadata or not self.scenario.ids):
            self._words_are_enough = False

    def check(self) -> None:
        """Check what must be true when all is over."""
        conversations = [one for one in self.double.all_kept() if one.id not in self._crowded]
        check_nothing_is_twice(conversations, words_are_enough=self._words_are_enough)
        check_branches_are_apart([arrival for arrival in self._arrivals if self._followed(arrival.agent_id)])
        for conversation_id, size in self._forbidden.items():
            assert self.double.stored_in(conversation_id) == size, "a forged anchor was gone by"

    def _followed(self, agent_id: str) -> bool:
        return self.pinned is None or agent_id != self.agents[0]

    def deliver(self, ask: Ask, mishap: Mishap | None) -> None:
        """Deliver once, or twice where the first time went wrong."""
        first = self._wire(mishap.fault if mishap else None)
        repeatable = self._is_repeatable(ask)
        if self._try(ask, first) or not (mishap and mishap.again):
            return
        second = self._wire(None)
        self._try(ask, second)
        if self.scenario.on_rerun == "attach" and mishap.fault.kind != "model":
            remembered = mishap.fault.kind in ("down", "mute")
            if remembered or repeatable:
                check_sends_the_same_again(first.sent, second.planned, to_the_same_place=remembered)

    def _is_repeatable(self, ask: Ask) -> bool:
        """Whether whoever has the same transcript must make the same request of it."""
        last = ask.dialogue.entries[-1:]
        return self.scenario.ids or (bool(ask.must_call) and isinstance(last[0], AssistantEntry))

    def together(self, branches: Sequence[Dialogue], move: Together) -> None:
        """Deliver several dialogues at once, step by step, in the order of the schedule."""
        twins = move.same and move.apart
        asks = [Ask(dialogue=branch, task=0 if twins else number) for number, branch in enumerate(branches)]
        wires = [self._wire(None) for _ in asks]
        at_work = [self._processes[number % 2 if move.apart else 0] for number, _ in enumerate(asks)]
        under_way = {
            number: carry(self._flow(ask, at_work[number]), wires[number], at_work[number])
            for number, ask in enumerate(asks)
        }
        order: Iterator[int] = chain(move.schedule, cycle(range(len(asks))))
        while under_way:
            number = next(order) % len(asks)
            if number not in under_way:
                continue
            try:
                delivered = _step(under_way[number])
            except LettaError as error:
                del under_way[number]
                self._went_wrong(error, asks[number], None)
            else:
                if delivered is not None:
                    del under_way[number]
                    self._arrived(asks[number], delivered, wires[number], alone=False)

    def _wire(self, fault: Fault | None) -> Wire:
        return Wire(double=self.double, fault=fault)

    def _policies(self, agent: int) -> Policies:
        followed = self._followed(self.agents[agent])
        return Policies(
            on_rerun="attach" if self.pinned else self.scenario.on_rerun,
            on_divergence=self._configured.on_divergence,
            system_messages=self._configured.system_messages,
            ephemeral=followed and self._configured.ephemeral,
        )

    def _flow(self, ask: Ask, process: Process) -> Flow:
        return delivery(
            list(ask.dialogue.entries),
            Target(agent_id=self.agents[ask.agent], conversation_id=self.pinned if ask.agent == 0 else None),
            server=URL,
            policies=self._policies(ask.agent),
            options=_OPTIONS,
            must_call=ask.must_call,
            thread=self._thread(ask),
            patience=process.patience(),
            memory=process.memory,
            anchor_key=ANCHOR_KEY if self.scenario.signed else None,
        )

    def _thread(self, ask: Ask) -> Thread | None:
        """The place in a LangGraph program: a step that is run again is in the same place."""
        if not self.scenario.threads:
            return None
        entries = ask.dialogue.entries
        name = uuid5(NAMESPACE_URL, repr((identity_of(entries), ask.task)))
        return Thread(thread_id=ask.dialogue.thread_id, namespace=f"model:{name}", step=len(entries))

    def _try(self, ask: Ask, wire: Wire) -> bool:
        fault = wire.fault
        if fault is not None and fault.kind == "model":
            self.double.model.fail_once(fault.at)
        if self.scenario.rehearses and not self.double.busy:  # else the server's state changes in between
            planned = rehearsed(self._flow(ask, self._process), self.double)
            assert rehearsed(self._flow(ask, self._process), self.double) == planned, "two plans of the same"
        try:
            delivered = carry_out(carry(self._flow(ask, self._process), wire, self._process))
        except (LettaError, ProcessDied, CallerLeft) as error:
            self._went_wrong(error, ask, fault)
            return False
        finally:
            self.double.model.calm()
            self._check_nobody_was_misled(wire)
        self._arrived(ask, delivered, wire, alone=True, undisturbed=fault is None)
        return True

    def _went_wrong(self, error: LettaError | ProcessDied | CallerLeft, ask: Ask, fault: Fault | None) -> None:
        self._trace.append(error)
        if isinstance(error, ProcessDied):
            self.restart()
        self._broken = True
        if isinstance(error, ProcessDied | CallerLeft):
            self.saying_it_again_is_new()
        if not self.scenario.redis:  # nobody keeps others away from what such a server still does
            self.double.let_time_pass()
        last = numbers_of(ask.dialogue.entries)[-1:]
        if fault is None and not (isinstance(error, TurnFailed) and self._failed.issuperset(last)):
            check_was_refused_rightly(error, self._place(ask), self._arrivals)
        if isinstance(error, TurnFailed) and error.run_id and any(self.double.store.of_run(error.run_id)):
            self._failed.update(last)
            self.saying_it_again_is_new()

    def _place(self, ask: Ask) -> Place:
        policies = self._policies(ask.agent)
        agent_id = self.agents[ask.agent]
        return Place(
            double=self.double,
            agent_id=agent_id,
            pinned=None if self._followed(agent_id) else self.pinned,
            policies=policies,
            entries=counting(ask.dialogue.entries, ephemeral=policies.ephemeral),
            in_order=ask.dialogue.in_order,
            must_call=ask.must_call,
            ids=self.scenario.ids,
        )

    def _arrived(self, ask: Ask, delivered: Delivered, wire: Wire, *, alone: bool, undisturbed: bool = True) -> None:
        """Check an answer, and put it into the dialogue as a framework does: through JSON."""
        dialogue, agent_id, policies = ask.dialogue, self.agents[ask.agent], self._policies(ask.agent)
        followed = self._followed(agent_id)
        entries = counting(dialogue.entries, ephemeral=policies.ephemeral)
        arrival = arrival_of(
            entries, delivered, agent_id=agent_id, policies=policies, overtaken=not alone and wire.overtaken
        )
        again = arrival.repeats(self._arrivals)
        if arrival.overtaken or (not followed and arrival.is_part_of(self._arrivals)):
            self._crowded.add(arrival.conversation_id)
            self._words_are_enough = self._words_are_enough and self.scenario.ids
        dialogue.crowded = dialogue.crowded or not arrival.goes_its_own_way
        conversation = self.double.kept(agent_id, arrival.conversation_id)
        check_anchor_is_true(conversation, delivered, just_now=alone and not again)
        if undisturbed:
            assert conversation.deleted == (policies.ephemeral and not delivered.anchor.pending)
        told = dialogue if followed else dialogue.since_the_last_answer(self.pinned or "")
        told = told.without_system() if again else told  # other instructions do not make it another request
        check_everything_is_told(
            conversation,
            told,
            upto=delivered.anchor.message_id or "",
            exact=followed and not dialogue.crowded,
            unheard=self._unheard_in(arrival),
        )
        # What is asked again of a conversation with more in it has the answer to whatever came last.
        if (followed and policies.on_divergence != "append") or not (again or arrival.is_given_again(self._arrivals)):
            check_answers_the_question(entries, delivered)
        if self.scenario.ids and followed and self.scenario.on_rerun == "attach":
            check_is_the_same_answer(arrival, self._arrivals)
        check_goes_where_it_may(arrival, self._arrivals, is_gone=self._is_gone(arrival))
        if alone and not again and not self._broken:
            check_instructions(arrival, conversation, self.double.port.prompts[delivered.anchor.run_id or ""])
        self._arrivals.append(arrival)
        dialogue.entries.append(_entry(delivered))
        self._trace.append(delivered.anchor)

    def _is_gone(self, arrival: Arrival) -> bool:
        followed = arrival.followed
        return followed is not None and self.double.kept(arrival.agent_id, followed.conversation_id).deleted

    def _unheard_in(self, arrival: Arrival) -> frozenset[str]:
        """Instructions that the conversation need not have: what is in front is told wherever any is."""
        if arrival.policies.system_messages != "once":
            self._unheard.update(texts_of(arrival.entries))
            return frozenset(self._unheard)
        return frozenset(self._unheard.difference(texts_in_front(arrival.entries)))

    def _check_nobody_was_misled(self, wire: Wire) -> None:
        for request in wire.requests:
            assert not any(name in request.path for name in self._forbidden), "a forged anchor was gone by"


def _step(carrying: Carrying) -> Delivered | None:
    try:
        next(carrying)
    except StopIteration as finished:
        return finished.value
    return None


def _entry(delivered: Delivered) -> AssistantEntry:
    turn = delivered.turn
    calls = [Call(tool_call_id=call.tool_call_id, name=call.name, arguments=call.arguments) for call in turn.pending]
    anchor = Anchor.from_metadata(json.loads(json.dumps(delivered.anchor.to_metadata())))
    return AssistantEntry(text=turn.text, calls=tuple(calls), anchor=anchor, id=turn.answer_id)
