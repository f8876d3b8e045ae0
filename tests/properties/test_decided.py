"""Programs that decide otherwise than most, force calls, and are not alone: what holds for all holds for them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import moves as m
from tests.properties.budget import TIMEOUT, share
from tests.properties.moves import Pinned
from tests.properties.playing import play
from tests.properties.scenarios import (
    APART,
    BENDING,
    BRANCHING,
    BREAKING,
    COMPACTING,
    CONFIGURING,
    FORGING,
    INSISTING,
    TALKING,
    scenarios,
)

Loop = asyncio.AbstractEventLoop

pytestmark = pytest.mark.timeout(TIMEOUT)

CONVERSATION: st.SearchStrategy[Pinned] = st.sampled_from(["conversation", "conversation", "default"])


@share(7)
@given(scenario=scenarios(CONFIGURING, TALKING, BENDING, BRANCHING))
def test_policies_decide_where_it_goes_on_and_nothing_else(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(4)
@given(scenario=scenarios(FORGING, TALKING, BREAKING, signed=st.just(True)))
def test_an_anchor_that_was_altered_leads_nowhere(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(5)
@given(scenario=scenarios(INSISTING, BREAKING))
def test_a_call_is_asked_for_once(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(6)
@given(scenario=scenarios(COMPACTING, TALKING, BENDING))
def test_a_summary_in_the_midst_of_a_turn_hides_nothing(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(7)
@given(scenario=scenarios(APART, BREAKING))
def test_two_processes_take_no_words_from_each_other(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(5)
@given(scenario=scenarios(CONFIGURING, INSISTING, COMPACTING, APART, pinned=CONVERSATION))
def test_a_shared_conversation_has_it_all_once_whoever_decides_what(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)
