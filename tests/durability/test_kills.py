"""An agent is killed with SIGKILL in the middle of a turn; a new process takes its thread up where it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Backend, fresh_conversation
from tests.durability.conftest import Undisturbed
from tests.durability.driving import Program
from tests.durability.program import Job, Way
from tests.durability.relay import Passed, Point
from tests.durability.threads import LAST, THREADS, Thread, check_nothing_lost_or_doubled, new_job
from tests.faults.proxy import Where
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, new_gate

KILLS = 25
KILLS_LIVE = 10
JobOf = Callable[..., Job]
WAYS: Sequence[Way] = ("invoke", "ainvoke", "stream", "astream")


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A kill that is drawn from a seed.

    Args:
        where: What kind of moment it is; the rest is drawn.
        pinned: Whether the conversation exists before, and the program knows it.
    """

    seed: int
    where: str
    thread: str
    pinned: bool = False

    def __str__(self) -> str:
        mode = "pinned" if self.pinned else "followed"
        return f"{self.seed}-{self.way}-{self.thread}-{self.where}-{mode}"

    @property
    def way(self) -> Way:
        return WAYS[self.seed % len(WAYS)]

    @property
    def in_tool(self) -> int | None:
        """The execution of a tool in which the process is killed."""
        executions = len(THREADS[self.thread].executed)
        return random.Random(self.seed).randint(1, executions) if self.where == "in a tool" else None

    def point(self, passed: Sequence[Passed]) -> Point:
        """Draw the point out of what passes when nobody is killed."""
        draw = random.Random(self.seed)
        turns = [i for i, exchange in enumerate(passed) if exchange.is_turn]
        match self.where:
            case "before the first turn":
                return Point(request=draw.randrange(turns[0]), at=draw.choice((Where.UNSENT, Where.ANSWERED)))
            case "created":
                return Point(request=turns[0], at=Where.UNSENT)
            case "before an answer":
                return Point(request=draw.choice(turns), at=draw.choice((Where.SENT, Where.ANSWERED)))
            case "first turn":
                return self._inside(draw, turns[0], passed)
            case "later turn":
                return self._inside(draw, draw.choice(turns[1:]), passed)
            case _:
                return self._inside(draw, draw.randrange(len(passed)), passed)

    def _inside(self, draw: random.Random, request: int, passed: Sequence[Passed]) -> Point:
        body = passed[request].body
        end = body.rfind(b'"stop_reason"') if passed[request].is_turn else len(body)  # after it the turn is over
        return Point(request=request, at=draw.randint(1, end))


KINDS: Sequence[tuple[str, str, bool]] = (
    ("first turn", "text", False),
    ("created", "sequence", False),
    ("later turn", "sequence", False),
    ("in a tool", "turns", False),
    ("before an answer", "turns", False),
    ("before the first turn", "call", False),
    ("first turn", "call", False),
    ("later turn", "parallel", False),
    ("in a tool", "sequence", False),
    ("anywhere", "turns", False),
    ("first turn", "turns", True),
    ("before an answer", "sequence", True),
    ("later turn", "turns", True),
    ("anywhere", "call", True),
)


def _drawn() -> list[Kill]:
    kinds = [KINDS[seed % len(KINDS)] for seed in range(KILLS)]
    return [Kill(seed=seed, where=kind[0], thread=kind[1], pinned=kind[2]) for seed, kind in enumerate(kinds)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill" in metafunc.fixturenames:
        live = metafunc.config.getoption("--backend") == "live"
        metafunc.parametrize("kill", _drawn()[: KILLS_LIVE if live else KILLS], ids=str)


@pytest.fixture
def job_of(program: Program, backend: Backend, agent_id: str, tmp_path: Path) -> Callable[..., Job]:
    """Makes the job of a thread."""

    def made(thread: Thread, *, pinned: bool = False, **options: Any) -> Job:
        conversation = fresh_conversation(backend, agent_id) if pinned else None
        return new_job(agent_id, program.base_url, tmp_path, thread, conversation_id=conversation, **options)

    return made


def test_an_agent_that_was_killed_goes_on_and_nothing_is_lost_or_doubled(
    kill: Kill, program: Program, undisturbed: Undisturbed, job_of: JobOf, reader: Reader
) -> None:
    thread = THREADS[kill.thread]
    job = job_of(thread, pinned=kill.pinned, way=kill.way)
    again: list[str] = []
    if kill.in_tool:
        program.start(replace(job, stop_in_tool=kill.in_tool))
        again = [program.wait_for("in tool")["line"]]
    else:
        point = kill.point(undisturbed(kill.thread, kill.way, kill.pinned))
        print(f"seed {kill.seed}: killed at {point}")
        program.start(job, point=point)
        program.wait_for("reached")
    program.kill()
    program.run(job)
    program.run(replace(job, asks=[*thread.asks, LAST]))
    check_nothing_lost_or_doubled(thread, job, reader, again=again)


@pytest.mark.parametrize("pinned", [False, True], ids=["followed", "pinned"])
@pytest.mark.parametrize("held", ["first turn", "continuation"])
def test_a_new_process_takes_up_a_turn_that_still_runs(
    held: str, pinned: bool, backend: Backend, program: Program, job_of: JobOf, reader: Reader
) -> None:
    gate = new_gate()
    hold, late = f"[[hold {gate} 1]] [[think let me see]] ", "[[next]] [[say done at last]]"
    ask = f"{hold} {CALL} {late}" if held == "first turn" else f"{CALL} [[next]] {hold} [[say done at last]]"
    thread = Thread(asks=[ask], answers=["done at last"], executed=["add 1 2"])
    job = job_of(thread, pinned=pinned)
    program.start(job)
    backend.wait_for_gate(gate)
    program.kill()
    program.start(job)
    while not ((passed := program.wait_for("request")["passed"]).is_turn or passed.attaches):
        continue
    backend.open_gate(gate)
    program.finish()
    program.run(replace(job, asks=[*thread.asks, LAST]))
    check_nothing_lost_or_doubled(thread, job, reader)


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_that_is_killed_again_and_again_gets_there(
    way: Way, program: Program, job_of: JobOf, reader: Reader
) -> None:
    thread = THREADS["sequence"]
    job = job_of(thread, way=way)
    for request in (0, 1, 2, 1, 0):
        program.start(job, point=Point(request=request, at=Where.ANSWERED))
        program.wait_for("reached")
        program.kill()
    program.run(job)
    program.run(replace(job, asks=[*thread.asks, LAST]))
    check_nothing_lost_or_doubled(thread, job, reader)


def test_a_process_that_inherits_nothing_takes_up_a_thread(
    backend: Backend, program: Program, job_of: JobOf, reader: Reader
) -> None:
    thread = THREADS["sequence"]
    job = job_of(thread)
    program.start(job, point=Point(request=1, at=Where.ANSWERED))
    program.wait_for("reached")
    program.kill()
    with Program(backend.base_url) as another:
        another.run(replace(job, base_url=another.base_url))
    program.run(replace(job, asks=[*thread.asks, LAST]))
    check_nothing_lost_or_doubled(thread, job, reader)
