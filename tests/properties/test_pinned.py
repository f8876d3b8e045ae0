"""Pinned conversations: the server is the truth, and gets what is new of every transcript, once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties import moves as m
from tests.properties.budget import TIMEOUT, share
from tests.properties.moves import Pinned
from tests.properties.playing import play
from tests.properties.scenarios import BENDING, BRANCHING, BREAKING, TALKING, scenarios

Loop = asyncio.AbstractEventLoop

pytestmark = pytest.mark.timeout(TIMEOUT)

CONVERSATION: st.SearchStrategy[Pinned] = st.sampled_from(["conversation", "conversation", "default"])


@share(5)
@given(scenario=scenarios(TALKING, BREAKING, pinned=CONVERSATION))
def test_a_conversation_gets_every_message_once_whatever_breaks(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)


@share(5)
@given(scenario=scenarios(TALKING, BENDING, BRANCHING, pinned=CONVERSATION))
def test_dialogues_that_share_a_conversation_lose_nothing(loop: Loop, scenario: m.Scenario) -> None:
    play(scenario, loop)
