"""Turns cut on real sockets, on the double: whatever is cut, the caller has the whole turn and the server has it once.

More than a thousand turns are cut. A line of a failing report names the dialogue and the cuts of each of its turns.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from letta_adapters import AsyncLettaClient, LettaClient
from tests.faults.dialogues import DIALOGUES, Dialogue
from tests.faults.proxy import FaultProxy
from tests.faults.stage import Stage, aplay_all, measure, play_all, sleepless, sleepless_async
from tests.faults.sweep import Clean, Plan, row_plans, single_plans

Sweep = Callable[[Dialogue, list[Clean], str], list[Plan]]


def once(dialogue: Dialogue, lengths: list[Clean], seed: str) -> list[Plan]:
    return single_plans(dialogue, lengths, offsets=36, seed=seed)


def again_and_again(dialogue: Dialogue, lengths: list[Clean], seed: str) -> list[Plan]:
    return row_plans(dialogue, lengths, count=48, seed=seed)


each_dialogue = pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)
each_sweep = pytest.mark.parametrize("sweep", [once, again_and_again], ids=lambda sweep: sweep.__name__)


@each_sweep
@each_dialogue
def test_turns_that_are_cut_are_whole_and_stored_once(
    proxy: FaultProxy, stage: Stage, dialogue: Dialogue, sweep: Sweep
) -> None:
    plans = sweep(dialogue, measure(stage, dialogue), "blocking")
    with sleepless(LettaClient(base_url=stage.lane.base_url)) as client:
        report = play_all(stage, client, dialogue, plans)
        assert proxy.wait_until(lambda count: count <= 1), "turns leave their connections open"
    assert not report.wrong, str(report)
    assert report.cut_turns == len(plans) * len(dialogue.turns)
    assert proxy.wait_until(lambda count: count == 0), "the client leaves connections open"


@each_sweep
@each_dialogue
async def test_async_turns_that_are_cut_are_whole_and_stored_once(
    proxy: FaultProxy, stage: Stage, dialogue: Dialogue, sweep: Sweep
) -> None:
    plans = sweep(dialogue, measure(stage, dialogue), "async")
    async with sleepless_async(AsyncLettaClient(base_url=stage.lane.base_url)) as client:
        report = await aplay_all(stage, client, dialogue, plans)
        assert proxy.wait_until(lambda count: count <= 1), "turns leave their connections open"
    assert not report.wrong, str(report)
    assert report.cut_turns == len(plans) * len(dialogue.turns)
    assert proxy.wait_until(lambda count: count == 0), "the client leaves connections open"
