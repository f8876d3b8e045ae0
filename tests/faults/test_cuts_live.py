"""Turns cut on real sockets in front of a real server: more than four hundred, several at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Backend
from tests.contract.wire import Wire
from tests.faults.dialogues import DIALOGUES, Dialogue
from tests.faults.proxy import FaultProxy
from tests.faults.stage import Stage, measure, play_at_once
from tests.faults.sweep import Clean, Plan, row_plans, single_plans


@pytest.fixture
def live_proxy(request: pytest.FixtureRequest, backend: Backend) -> Iterator[FaultProxy]:
    if request.config.getoption("--backend") != "live":
        pytest.skip("the double has a sweep of its own")
    with FaultProxy(backend.base_url) as opened:
        yield opened


@pytest.fixture
def live_stage(live_proxy: FaultProxy, agent_id: str) -> Iterator[Stage]:
    with Wire(live_proxy.upstream) as witness:
        yield Stage(lane=live_proxy.lane(), agent_id=agent_id, witness=witness)


def single(dialogue: Dialogue, lengths: list[Clean], turns: int) -> list[Plan]:
    plans = single_plans(dialogue, lengths, offsets=40, seed="live")
    return random.Random("live").sample(plans, turns // len(dialogue.turns))


def in_a_row(dialogue: Dialogue, lengths: list[Clean], turns: int) -> list[Plan]:
    return row_plans(dialogue, lengths, count=turns // len(dialogue.turns), seed="live")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("cuts", "turns"), [(single, 106), (in_a_row, 28)], ids=["once", "in a row"])
@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)
async def test_turns_that_are_cut_on_a_real_server_are_whole_and_stored_once(
    live_proxy: FaultProxy,
    live_stage: Stage,
    dialogue: Dialogue,
    cuts: Callable[[Dialogue, list[Clean], int], list[Plan]],
    turns: int,
) -> None:
    plans = cuts(dialogue, await asyncio.to_thread(measure, live_stage, dialogue), turns)
    report = await play_at_once(live_proxy, live_stage, dialogue, plans)
    assert not report.wrong, str(report)
    assert report.cut_turns == turns
    assert await asyncio.to_thread(live_proxy.wait_until, lambda count: count == 0), "connections are left open"
