"""What a real server said, read by the package: all of it known, none of it lost, the right turn made of it."""

from __future__ import annotations

import httpx

from tests.conftest import Backend
from tests.recorded.conftest import play, stage_for
from tests.recorded.reading import outcome, readings, same_dates, shape, unknown_things
from tests.recorded.stage import Scenario


def test_everything_the_server_said_is_of_a_known_type(responses: list[httpx.Response]) -> None:
    said = [reading.parsed for response in responses for reading in readings(response)]
    assert unknown_things(said) == []


def test_nothing_the_server_said_is_lost(responses: list[httpx.Response]) -> None:
    said = [reading for response in responses for reading in readings(response)]
    assert [reading.told for reading in said] == [same_dates(reading.recorded) for reading in said]


def test_each_answer_is_read_as_what_it_is(scenario: Scenario, responses: list[httpx.Response]) -> None:
    assert [outcome(response) for response in responses] == list(scenario.expected)


def test_the_backend_answers_as_it_was_recorded(
    scenario: Scenario, responses: list[httpx.Response], backend: Backend
) -> None:
    with stage_for(scenario, backend) as stage:
        answers = play(scenario, stage)
    assert [outcome(response) for response in answers] == list(scenario.expected)
    assert [shape(response) for response in answers] == [shape(response) for response in responses]
