"""Turns cut on a server without Redis, which neither resumes nor dedupes: read back from the run, never sent again.

The one turn that may be lost is one that was cut before the server got it: it is told, and nothing is stored.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from letta_adapters.errors import TurnInterrupted
from tests.conftest import Backend, fresh_agent
from tests.contract.wire import Wire
from tests.faults.dialogues import DIALOGUES, TEXT, Dialogue
from tests.faults.proxy import Cut, End, FaultProxy, Where
from tests.faults.stage import Played, Stage, measure, play_at_once, settled
from tests.faults.sweep import Clean, Plan, row_plans, single_plans

SINGLE = 14
ROWS = 6
"""Cut turns of each dialogue in each sweep."""

each_dialogue = pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)


@pytest.fixture
def plain_proxy(no_redis_backend: Backend) -> Iterator[FaultProxy]:
    with FaultProxy(no_redis_backend.base_url) as opened:
        yield opened


@pytest.fixture
def plain_stage(no_redis_backend: Backend, plain_proxy: FaultProxy) -> Iterator[Stage]:
    with Wire(plain_proxy.upstream) as witness, fresh_agent(no_redis_backend) as agent_id:
        yield Stage(lane=plain_proxy.lane(), agent_id=agent_id, witness=witness)


@each_dialogue
async def test_turns_that_are_cut_once_are_read_back_and_never_sent_again(
    plain_proxy: FaultProxy, plain_stage: Stage, dialogue: Dialogue
) -> None:
    lengths = await asyncio.to_thread(measure, plain_stage, dialogue, background=False)
    plans = single_plans(dialogue, [before_usage(clean) for clean in lengths], offsets=8, seed="without redis")
    plans = random.Random("without redis").sample(plans, SINGLE // len(dialogue.turns))
    report = await play_at_once(plain_proxy, plain_stage, dialogue, plans, once_or_told, warm=True)
    assert not report.wrong, str(report)
    assert report.cut_turns == SINGLE


@each_dialogue
async def test_turns_whose_reading_back_is_cut_too_are_read_again(
    plain_proxy: FaultProxy, plain_stage: Stage, dialogue: Dialogue
) -> None:
    lengths = await asyncio.to_thread(measure, plain_stage, dialogue, background=False)
    plans = row_plans(dialogue, lengths, count=ROWS // len(dialogue.turns), seed="without redis")
    report = await play_at_once(plain_proxy, plain_stage, dialogue, plans, once_or_told, reads=True, warm=True)
    assert not report.wrong, str(report)
    assert report.cut_turns == ROWS


async def test_turns_that_are_cut_between_stop_reason_and_usage_tell_their_usage(
    plain_proxy: FaultProxy, plain_stage: Stage
) -> None:
    (clean,) = await asyncio.to_thread(measure, plain_stage, TEXT, background=False)
    plans: list[Plan] = [((Cut(end=end, at=at),),) for end in End for at in (clean.stop, clean.stop + 1)]
    report = await play_at_once(plain_proxy, plain_stage, TEXT, plans, warm=True)
    assert not report.wrong, str(report)
    assert report.cut_turns == len(plans)


def before_usage(clean: Clean) -> Clean:
    """The same answer as if it ended just before the end of its stop reason."""
    return Clean(size=clean.stop - 1, stop=clean.stop - 2)


@pytest.mark.parametrize("end", End, ids=lambda end: end.value)
async def test_a_refusal_to_stream_in_the_background_that_is_cut_costs_nothing(
    plain_proxy: FaultProxy, plain_stage: Stage, end: End
) -> None:
    """A client learns from the refusal that the server has no Redis; it is the first answer that it gets."""
    plans: list[Plan] = [((Cut(end=end, at=at),),) for at in (*Where, 0, 1, 40)]
    report = await play_at_once(plain_proxy, plain_stage, TEXT, plans)
    assert not report.wrong, str(report)
    assert report.cut_turns == len(plans)


def whole_or_told(stage: Stage, dialogue: Dialogue, plan: Plan, played: Played) -> list[str]:
    """The caller has every turn whole, or was told that one is lost and the server has nothing of it."""
    wrong = list(played.wrong)
    if played.error is not None:
        settled(stage, played.conversation)
        wrong += [] if isinstance(played.error, TurnInterrupted) else [f"the caller got {played.error!r}"]
    return [*wrong, *stage.at_server(played.conversation, dialogue, turns=played.turns)]


def once_or_told(stage: Stage, dialogue: Dialogue, plan: Plan, played: Played) -> list[str]:
    """The same, and lost are only turns that were cut before the server got them."""
    wrong = whole_or_told(stage, dialogue, plan, played)
    if played.error is not None and plan[played.turns][0].at is not Where.UNSENT:
        wrong.append(f"the caller got {played.error!r}")
    return wrong
