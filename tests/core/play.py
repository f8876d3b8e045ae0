"""Plays a `Turn` against answers that a test writes, without I/O; and a server that replays one run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn, TurnEvent
from letta_adapters.exchange import Broken, BrokenKind, Request
from letta_adapters.locks import Patience
from letta_adapters.steps import Capabilities, Done, Failed, Open, Read, Step, TurnPolicy, Wait
from letta_adapters.turn import Turn
from letta_adapters.wire import MessageCreate, TurnRequest

URL = "http://letta.test"


class Clock:
    """A clock that goes on when somebody waits, and never by itself."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


CLOCK = Clock()
"""The clock of every turn that is played."""

EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}


def broken(kind: BrokenKind = BrokenKind.LOST, reason: str = "connection reset") -> Broken:
    return Broken(kind, reason, url=URL)


REFUSED_CONNECTION = broken(BrokenKind.CONNECT, "connection refused")
RESET = broken(BrokenKind.LOST, "connection reset")
SILENCE = broken(BrokenKind.TIMEOUT, "no byte")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer; `end` is how its body ends, cleanly unless it says otherwise."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: dict(EVENT_STREAM))
    chunks: Sequence[bytes] = ()
    end: Broken | None = None


Reply = Answer | Broken
"""An answer, or the failure to get one."""


def stream(*frames: bytes, end: Broken | None = None) -> Answer:
    return Answer(chunks=frames, end=end)


def refusal(status: int, detail: Any = "no", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers={**JSON, **named}, chunks=(json.dumps({"detail": detail}).encode(),))


def told(record: Mapping[str, Any]) -> Answer:
    """A record."""
    return Answer(headers=JSON, chunks=(json.dumps(record).encode(),))


def listed(*rows: Mapping[str, Any]) -> Answer:
    """A page of stored messages."""
    return Answer(headers=JSON, chunks=(json.dumps(rows).encode(),))


BUSY = "CONFLICT: Cannot send a new message: Another request (run_id=run-9) is currently being processed"
NO_REDIS = "INTERNAL_SERVER_ERROR: Background streaming requires Redis to be running."


def request(*, background: bool = True) -> TurnRequest:
    return TurnRequest(messages=[MessageCreate(role="user", content="Hi", otid="otid-1")], background=background)


def new_turn(
    sent: TurnRequest | None = None,
    *,
    conversation_id: str = "conv-1",
    agent_id: str | None = None,
    background: bool = True,
    may_be_stored: bool = False,
    stored_run_id: str | None = None,
    policy: TurnPolicy | None = None,
    capabilities: Capabilities | None = None,
) -> Turn:
    policy = policy or TurnPolicy()
    return Turn(
        sent or request(background=background),
        conversation_id=conversation_id,
        agent_id=agent_id,
        may_be_stored=may_be_stored,
        stored_run_id=stored_run_id,
        policy=policy,
        patience=Patience(policy.busy_timeout, clock=CLOCK),
        capabilities=capabilities,
    )


@dataclass(kw_only=True)
class Played:
    """What came of a turn."""

    events: list[TurnEvent] = field(default_factory=list["TurnEvent"])
    requests: list[Request] = field(default_factory=list[Request])
    waits: list[float] = field(default_factory=list[float])
    reads: list[float] = field(default_factory=list[float])
    finished: FinishedTurn | None = None
    error: LettaError | None = None

    def wait(self, seconds: float) -> None:
        """Wait as `play` does."""
        self.waits.append(seconds)
        CLOCK.wait(seconds)

    @property
    def turn(self) -> FinishedTurn:
        assert self.finished is not None, self.error
        return self.finished

    @property
    def failure(self) -> LettaError:
        assert self.error is not None, self.finished
        return self.error

    @property
    def paths(self) -> list[str]:
        return [f"{sent.method} {sent.path}" for sent in self.requests]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(sent.body) if sent.body else None for sent in self.requests]

    @property
    def outcome(self) -> tuple[list[TurnEvent], FinishedTurn | None, str, str]:
        """What a caller sees."""
        return self.events, self.finished, type(self.error).__name__, self.error.detail or "" if self.error else ""


def play(turn: Turn, serve: Callable[[Request], Reply], *, patience: int = 10_000) -> Played:
    """Carry out the steps of a turn as a driver does."""
    played = Played()
    step: Step = turn.start()
    chunks = iter(())
    end: Broken | None = None
    for _ in range(patience):
        played.events.extend(turn.take_events())
        match step:
            case Open():
                played.requests.append(step.request)
                reply = serve(step.request)
                if isinstance(reply, Broken):
                    step = turn.broke(reply)
                else:
                    chunks, end = iter(reply.chunks), reply.end
                    step = turn.responded(reply.status, reply.headers)
            case Read():
                played.reads.append(step.timeout)
                chunk = next(chunks, None)
                if chunk is not None:
                    step = turn.received(chunk)
                else:
                    step = turn.broke(end) if end is not None else turn.closed()
            case Wait():
                played.wait(step.seconds)
                step = turn.waited()
            case Done():
                played.finished = step.turn
                break
            case Failed():
                played.error = step.error
                break
    else:
        raise AssertionError("the turn never ends")
    played.events.extend(turn.take_events())
    return played


def script(*replies: Reply) -> Callable[[Request], Reply]:
    """Answer one request after the other; a request more than that fails the test."""
    rest = list(replies)

    def serve(sent: Request) -> Reply:
        assert rest, f"an unexpected request: {sent.method} {sent.path} {sent.body!r}"
        return rest.pop(0)

    return serve


def forever(*first: Reply, last: Reply) -> Callable[[Request], Reply]:
    """Answer with these, then with the last one for ever."""
    rest = list(first)
    return lambda _: rest.pop(0) if rest else last


@dataclass(kw_only=True)
class Recorder:
    """A server that plays a script to what is posted, and answers questions about one run that it recorded.

    Args:
        posts: The answers to what is posted, in order; one more post fails the test.
        rows: What the run stored; listed in the conversation too.
        status: What the run's record says, one after the other, the last for ever.
        record: More of the run's record.
        listed: Whether the conversation lists the rows.
        in_flight: How often the conversation has a run in flight.
        broken: Failures of reading before it works.
    """

    posts: list[Reply]
    rows: Sequence[Mapping[str, Any]] = ()
    status: list[str] = field(default_factory=lambda: ["completed"])
    record: Mapping[str, Any] = field(default_factory=lambda: {"stop_reason": "end_turn"})
    listed: bool = True
    in_flight: int = 0
    broken: list[Reply] = field(default_factory=list["Reply"])

    def __call__(self, sent: Request) -> Reply:
        if sent.method == "POST":
            assert self.posts, f"an unexpected request: {sent.path} {sent.body!r}"
            return self.posts.pop(0)
        if self.broken:
            return self.broken.pop(0)
        path = sent.path.removeprefix("/v1")
        if path == "/runs/":
            self.in_flight -= 1
            return listed(*([{"id": "run-0", "status": "running"}] if self.in_flight >= 0 else []))
        if path == "/runs/run-1":
            status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
            return told({"id": "run-1", "status": status, **self.record})
        if path == "/runs/run-1/usage":
            return told({"completion_tokens": 20, "prompt_tokens": 100, "total_tokens": 120})
        if path == "/conversations/conv-1/messages":
            return listed(*(reversed(self.rows) if self.listed and self.in_flight < 0 else ()))
        assert path == "/runs/run-1/messages", path
        return listed(*self.rows)


class Replayer:
    """A server with one background run: it replays by otid, resumes by number, and is cut where a test says.

    Args:
        frames: The run; frame number n is at position n - 1, whether its text says so or not.
        cuts: After how many bytes each answer in turn is cut; later ones are whole.
        end: How a cut answer ends, `None` for a clean end.
        rows: What the run's messages are listed as.
    """

    def __init__(
        self,
        frames: Sequence[bytes],
        *,
        cuts: Iterable[int] = (),
        end: Broken | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._frames = frames
        self._cuts = list(cuts)
        self._end = end
        self._rows = rows

    def __call__(self, sent: Request) -> Reply:
        if sent.method == "GET":
            return listed(*self._rows)
        after = json.loads(sent.body or b"{}").get("starting_after", 0) if sent.path.endswith("/stream") else 0
        whole = b"".join(self._frames[after:])
        if not self._cuts:
            return stream(whole)
        return stream(whole[: self._cuts.pop(0)], end=self._end)
