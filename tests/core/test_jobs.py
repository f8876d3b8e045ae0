"""Waiting for a run that nobody streams: bounded, and without asking all the time."""

from __future__ import annotations

from typing import Any

import pytest

from letta_adapters.client.calls import Endpoint
from letta_adapters.client.jobs import progress_of
from letta_adapters.errors import RequestTimeout
from letta_adapters.locks import Patience
from letta_adapters.reading import Pause
from letta_adapters.wire import Run


class Clock:
    """A clock that goes on by what is waited."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(status: str, **more: Any) -> Run:
    return Run(id="run-1", agent_id="agent-1", status=status, **more)


def played(records: list[Run], *, seconds: float) -> tuple[list[Run], list[float]]:
    """What is told of the run, and the pauses between two looks at it; the last record stays."""
    clock = Clock()
    flow = progress_of("run-1", Patience(seconds, clock=clock))
    told: list[Run] = []
    pauses: list[float] = []
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration:
            return told, pauses
        answer = None
        if isinstance(step, Endpoint):
            answer = records.pop(0) if len(records) > 1 else records[0]
        elif isinstance(step, Pause):
            pauses.append(step.seconds)
            clock.now += step.seconds
        else:
            told.append(step)


def test_a_run_is_told_whenever_its_record_has_changed_and_last_when_it_has_ended() -> None:
    records = [run("created"), run("running"), run("running"), run("completed", stop_reason="end_turn")]
    told, pauses = played(list(records), seconds=60)
    assert told == [records[0], records[1], records[3]]
    assert pauses == [0.1, 0.2, 0.4]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired"])
def test_a_run_that_has_ended_is_not_waited_for(status: str) -> None:
    assert played([run(status)], seconds=60) == ([run(status)], [])


def test_the_server_is_asked_ever_more_seldom_and_not_for_longer_than_was_said() -> None:
    with pytest.raises(RequestTimeout, match="did not end within 10 s") as caught:
        played([run("running")], seconds=10)
    error = caught.value
    assert (error.run_id, error.agent_id, error.accepted) == ("run-1", "agent-1", True)


def test_the_pauses_add_up_to_what_was_said() -> None:
    pauses: list[float] = []
    clock = Clock()
    flow = progress_of("run-1", Patience(10, clock=clock))
    step: Any = next(flow)
    with pytest.raises(RequestTimeout):
        while True:
            answer = run("running") if isinstance(step, Endpoint) else None
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                clock.now += step.seconds
            step = flow.send(answer)
    assert max(pauses) == 2.0
    assert sum(pauses) == pytest.approx(10)
