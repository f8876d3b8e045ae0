"""The third carrier: it does what a delivery yields in this very process, and fails where a scenario says so.

It is a generator that stops between any two steps, so that several deliveries can be under way at once. Turns are
played by the package's own turn machine; only the network is missing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Literal

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.delivery_steps import Claim, Delivered, Flow, Pause, Step, TurnOutcome
from letta_adapters.driver import busy_here
from letta_adapters.errors import LettaError, TurnInterrupted
from letta_adapters.events import FinishedTurn
from letta_adapters.exchange import Broken, BrokenKind, Request, error_from_response
from letta_adapters.locks import Hold, Patience, conversation_lock
from letta_adapters.memory import TurnMemory
from letta_adapters.steps import Capabilities, Done, Failed, Open, Read, Wait
from letta_adapters.turn import Turn
from tests.core.play import Clock
from tests.properties.server import Answer, Double

__all__ = ["CallerLeft", "Carrying", "Fault", "Process", "ProcessDied", "Wire", "carry", "carry_out"]

URL = "http://letta.test"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one delivery.

    Args:
        kind: The process dies; the caller leaves; the server is down from then on, or answers nobody from then on; one
            connection breaks; the model's provider fails.
        at: The request that it happens at: 0 is the one that sends the turn, n the delivery's n-th. For the model: how
            many of its answers go well before.
        taken: Whether the server got that request.
        cut: How many bytes of its answer arrive.
        in_flight: Whether the turn is still running when the next request comes.
    """

    kind: Literal["crash", "leave", "down", "mute", "break", "model"]
    at: int = 0
    taken: bool = True
    cut: int = 0
    in_flight: bool = False


class ProcessDied(BaseException):
    """The process is gone, in the middle of a delivery. No handler of the package may notice."""


class CallerLeft(BaseException):
    """Nobody waits for the delivery any more; the process goes on."""


@dataclass(kw_only=True)
class Process:
    """What a process of the user's knows, and loses when it dies."""

    clock: Clock
    name: str
    memory: TurnMemory = field(init=False)
    capabilities: Capabilities = field(default_factory=Capabilities)

    def __post_init__(self) -> None:
        self.memory = TurnMemory(clock=self.clock)

    def patience(self) -> Patience:
        """How long a delivery waits for other turns."""
        return Patience(60.0, clock=self.clock)

    def hold(self, conversation_id: str, agent_id: str | None) -> Hold:
        """The right to send to a conversation, among the deliveries of this process."""
        return Hold(conversation_lock(self.name, conversation_id, agent_id or ""))


@dataclass(kw_only=True)
class Wire:
    """The network between one delivery and the server.

    Args:
        double: The server.
        fault: What goes wrong.
        planned: The turns that were to be sent.
        overtaken: Whether a conversation got more between the last look at it and the sending.
    """

    double: Double
    fault: Fault | None = None
    planned: list[PreparedTurn] = field(default_factory=list["PreparedTurn"])
    requests: list[Request] = field(default_factory=list[Request])
    overtaken: bool = False
    _looked: dict[str, int] = field(default_factory=dict[str, int])
    _gone: BrokenKind | None = None
    _cut: bool = False

    @property
    def sent(self) -> list[PreparedTurn]:
        """Those that were sent, for whoever checks them."""
        paths = {request.path for request in self.requests if request.method == "POST"}
        return [one for one in self.planned if f"/v1/conversations/{one.conversation_id}/messages" in paths]

    def open(self, request: Request) -> Answer:
        """Send a request.

        Raises:
            Broken: The connection is gone.
            ProcessDied: So is everything else.
            CallerLeft: So is the caller.
        """
        self.requests.append(request)
        self._note_looks(request)
        if self._gone is not None:
            raise _broken(self._gone)
        fault = self._fault_at(request)
        if fault is None:
            return self.double.call(request)
        self.fault = None
        self._gone = {"down": BrokenKind.CONNECT, "mute": BrokenKind.LOST}.get(fault.kind)
        if fault.taken:
            if fault.in_flight:
                self.double.model.hold_once()
            answer = self.double.call(request)
            if fault.in_flight:
                self.double.go_on_a_little()
            if fault.kind == "break" and fault.cut:
                self._cut = True
                return Answer(status=answer.status, headers=answer.headers, body=self.double.read(answer)[: fault.cut])
        if fault.kind == "crash":
            raise ProcessDied
        if fault.kind == "leave":
            raise CallerLeft
        raise _broken(BrokenKind.LOST)

    def read(self, answer: Answer) -> bytes:
        """Read the rest of an answer."""
        return self.double.read(answer)

    def ended(self) -> None:
        """The answer was read to where it ends; a connection that was cut breaks there."""
        if self._cut:
            self._cut = False
            raise _broken(BrokenKind.LOST)

    def _note_looks(self, request: Request) -> None:
        if request.path.endswith("/messages") and request.path.startswith("/v1/conversations/"):
            has = self.double.stored_in(request.path.split("/")[3])
            if request.method == "GET":
                self._looked[request.path] = has
            else:
                self.overtaken = self._looked.get(request.path, has) != has

    def _fault_at(self, request: Request) -> Fault | None:
        fault = self.fault
        if fault is None or fault.kind == "model":
            return None
        sends = request.method == "POST" and request.path.endswith("/messages")
        here = sends if fault.at == 0 else len(self.requests) == fault.at
        return fault if here else None


def _broken(kind: BrokenKind) -> Broken:
    return Broken(kind, "connection refused" if kind is BrokenKind.CONNECT else "connection reset", url=URL)


Carrying = Generator[bool, None, Delivered]
"""A delivery under way: says after every step whether it could go on; it could not while another one has the lock."""


_STEPS = 2000
"""Steps after which a delivery is taken to go on for ever."""


def carry_out(carrying: Carrying) -> Delivered:
    """Do a delivery alone, to its end."""
    try:
        for _ in range(_STEPS):
            next(carrying)
    except StopIteration as finished:
        return finished.value
    raise AssertionError("the delivery never ends")


def carry(flow: Flow, wire: Wire, process: Process) -> Carrying:
    """Carry out a delivery.

    Raises:
        LettaError: It failed.
        ProcessDied: The process did.
        CallerLeft: The caller did not wait.
    """
    hold: Hold | None = None
    held = ""
    try:
        step: Step | Delivered = _advance(flow, None)
        while not isinstance(step, Delivered):
            answer: Any = None
            if isinstance(step, Endpoint):
                answer = _called(step, wire)
            elif isinstance(step, Claim):
                _let_go(hold)
                hold, held = process.hold(step.conversation_id, step.agent_id), step.conversation_id
                taken = yield from _claimed(hold, step.patience, process)
                answer = hold.in_flight if taken else busy_here(step.patience.seconds)
            elif isinstance(step, Pause):
                _let_go(hold)
                process.clock.wait(step.seconds)
                wire.double.let_time_pass()
            else:
                wire.planned.append(step)
                if hold is None or held != step.conversation_id:
                    _let_go(hold)
                    hold, held = process.hold(step.conversation_id, step.agent_id), step.conversation_id
                answer = yield from _played(step, wire, hold, process)
            yield True
            step = _advance(flow, answer)
        return step
    finally:
        _let_go(hold)


def _let_go(hold: Hold | None) -> None:
    if hold is not None:
        hold.release()


def _advance(flow: Flow, answer: Any) -> Step | Delivered:
    try:
        return flow.throw(answer) if isinstance(answer, LettaError) else flow.send(answer)
    except StopIteration as finished:
        return finished.value


def _called(endpoint: Endpoint[Any], wire: Wire, tries: int = 6) -> Any:
    try:
        answer = wire.open(endpoint.request)
        body = wire.read(answer)
        wire.ended()
    except Broken as broken:
        again = (endpoint.repeatable or broken.kind is BrokenKind.CONNECT) and tries > 1
        return _called(endpoint, wire, tries - 1) if again else broken.to_error()
    if 200 <= answer.status < 300:
        return endpoint.read(body)
    what = f"{endpoint.request.method} {endpoint.request.path}"
    return error_from_response(answer.status, body, what=what)


def _claimed(hold: Hold, patience: Patience, process: Process) -> Generator[bool, None, bool]:
    while not hold.acquire(0):
        if patience.left() <= 0:
            return False
        process.clock.wait(0.1)
        yield False
    return True


def _played(prepared: PreparedTurn, wire: Wire, hold: Hold, process: Process) -> Generator[bool, None, TurnOutcome]:
    patience = prepared.patience or process.patience()
    if not (yield from _claimed(hold, patience, process)):
        return TurnOutcome(result=busy_here(patience.seconds), run_id=None, replayed=False)
    turn = _turn(prepared, patience, process)
    over = False
    try:
        result = yield from _to_its_end(turn, wire, hold, process)
        over = not isinstance(result, TurnInterrupted)
    finally:
        hold.release(goes_on=None if over else turn.in_flight)
    return TurnOutcome(result=result, run_id=turn.run_id, replayed=turn.replayed, background=turn.background)


def _to_its_end(
    turn: Turn, wire: Wire, hold: Hold, process: Process
) -> Generator[bool, None, FinishedTurn | LettaError]:
    step = turn.start()
    answer: Answer | None = None
    while not isinstance(step, Done | Failed):
        try:
            match step:
                case Open():
                    answer = wire.open(step.request)
                    step = turn.responded(answer.status, answer.headers)
                case Read():
                    assert answer is not None, "a Read follows an Open"
                    chunk, answer.body = wire.read(answer), b""
                    if not chunk:
                        wire.ended()
                    step = turn.received(chunk) if chunk else turn.closed()
                case Wait():
                    process.clock.wait(step.seconds)
                    wire.double.let_time_pass()
                    step = turn.waited()
        except Broken as broken:
            step = turn.broke(broken)
        turn.take_events()
        if not turn.exclusive:
            hold.accepted(turn.in_flight)
        yield True
    return step.turn if isinstance(step, Done) else step.error


def _turn(prepared: PreparedTurn, patience: Patience, process: Process) -> Turn:
    return Turn(
        prepared.request,
        conversation_id=prepared.conversation_id,
        agent_id=prepared.agent_id,
        run_id=prepared.run_id,
        starting_after=prepared.starting_after,
        may_be_stored=prepared.may_be_stored,
        stored_run_id=prepared.stored_run_id,
        after=prepared.after,
        patience=patience,
        capabilities=process.capabilities,
    )
