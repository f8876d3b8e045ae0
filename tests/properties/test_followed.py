"""Followed transcripts: the transcript is the truth, and the conversation that answers has it, whole and once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import moves as m
from tests.properties.budget import TIMEOUT, share
from tests.properties.playing import play
from tests.properties.scenarios import BENDING, BRANCHING, BREAKING, TALKING, scenarios

Loop = asyncio.AbstractEventLoop

pytestmark = pytest.mark.timeout(TIMEOUT)


@share(10)
@given(scenario=scenarios(TALKING))
def test_what_is_said_is_held_whole_and_once(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(9)
@given(scenario=scenarios(BREAKING, ids=st.just(True)))
def test_whatever_breaks_nothing_is_lost_and_nothing_is_there_twice(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(5)
@given(scenario=scenarios(BREAKING, ids=st.just(False)))
def test_whatever_breaks_words_without_ids_are_told_once_to_each_conversation(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(5)
@given(scenario=scenarios(BREAKING, redis=st.just(False)))
def test_without_redis_nothing_is_lost_and_nothing_is_there_twice(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(12)
@given(scenario=scenarios(BENDING))
def test_the_conversation_that_answers_has_what_the_transcript_has(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(8)
@given(scenario=scenarios(BRANCHING))
def test_branches_end_in_conversations_of_their_own(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(7)
@given(scenario=scenarios(TALKING, BREAKING, BENDING, BRANCHING))
def test_all_of_it_at_once(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)
