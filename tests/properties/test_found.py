"""Scenarios that went wrong once, as small as they got; each stays true by itself, whatever the properties draw."""

from __future__ import annotations

import asyncio

import pytest

from tests.properties.carrier import Fault
from tests.properties.moves import (
    Compact,
    Configure,
    Edit,
    Join,
    Mishap,
    Move,
    Regenerate,
    Rewind,
    Say,
    Scenario,
    Start,
    Stranger,
    Strip,
    Switch,
    System,
    Together,
    Work,
)
from tests.properties.playing import play

OPEN_CALL = Say(rounds=(1,), works=False)
UNANSWERED = (Mishap(fault=Fault(kind="crash", taken=False), again=False),)
"""The process died before anything was sent, and the user goes on without an answer."""

FOLLOWED: dict[str, tuple[Move, ...]] = {
    "a turn that ends between the reading and the sending of another branch": (
        Say(),
        Together(schedule=(1, 1, 1, 0)),
    ),
    "a turn of which nothing but an answer to a call is stored yet": (
        OPEN_CALL,
        Together(schedule=(1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0)),
    ),
    "a turn that is accepted and whose run has no name yet": (
        Say(),
        Together(count=3, schedule=(0, 1, 0, 1, 2, 0, 2, 1, 2, 0, 1, 0)),
    ),
    "the same transcript three times at once, with a call open": (
        OPEN_CALL,
        Together(count=3, same=True, schedule=(1, 1, 1, 2, 3, 0, 0, 0, 2, 1, 1, 2)),
    ),
    "a result that is listed twice, and told to another agent": (OPEN_CALL, Work(twice=True), Say(agent=1)),
    "instructions at the end of a branch that is joined": (
        Say(),
        Together(count=2),
        System(leading=False),
        Join(dialogue=0, other=1),
    ),
    "a message without an answer at the end of a branch that is joined": (
        Say(),
        Rewind(),
        Say(),
        Say(dialogue=1, mishaps=UNANSWERED),
        Join(dialogue=1, other=0),
    ),
    "a branch that was forked itself, behind one that is joined": (
        Say(),
        Together(count=2),
        Together(dialogue=2, count=2, schedule=(1,)),
        Join(dialogue=1, other=3),
    ),
}
"""What was done, by what went wrong with it."""

PINNED: dict[str, tuple[Move, ...]] = {
    "a crash after calls of a stranger were denied in a second request": (
        Say(),
        Stranger(calls=True),
        Say(mishaps=(Mishap(fault=Fault(kind="crash", at=4)),)),
    ),
    "a result of a call that another dialogue denied, while a call of yet another one is open": (
        Together(count=3, calls=True, schedule=(0, 2, 1, 2)),
        Work(dialogue=3),
    ),
    "three dialogues at once that all leave a call open": (
        Together(count=3, calls=True),
        Together(dialogue=1, count=3, calls=True),
    ),
    "two dialogues of one conversation that are joined": (
        Say(),
        Start(),
        Say(dialogue=1),
        Say(dialogue=0),
        Join(dialogue=0, other=1),
    ),
    "an old result in a transcript without metadata": (
        Say(rounds=(1,)),
        Strip(),
        Say(rounds=(1,)),
        Regenerate(which=2),
    ),
}


@pytest.mark.parametrize("moves", FOLLOWED.values(), ids=FOLLOWED.keys())
def test_a_followed_scenario_that_went_wrong_once(moves: tuple[Move, ...], loop: asyncio.AbstractEventLoop) -> None:
    play(Scenario(moves=moves), loop)


@pytest.mark.parametrize("moves", PINNED.values(), ids=PINNED.keys())
def test_a_pinned_scenario_that_went_wrong_once(moves: tuple[Move, ...], loop: asyncio.AbstractEventLoop) -> None:
    play(Scenario(moves=moves, pinned="conversation", parallel_calls=False), loop)


def test_words_without_an_id_are_there_once_when_the_network_was_gone(loop: asyncio.AbstractEventLoop) -> None:
    said = Say(mishaps=(Mishap(fault=Fault(kind="down")),))
    play(Scenario(moves=(said,), pinned="conversation", ids=False), loop)


def test_a_transcript_goes_on_where_the_server_cannot_fork_because_it_summarized(
    loop: asyncio.AbstractEventLoop,
) -> None:
    play(Scenario(moves=(Say(), Compact(), Say(), Edit()), cloud=True), loop)


CRASH = (Mishap(fault=Fault(kind="crash"), again=False),)
LOST = (Mishap(fault=Fault(kind="down", taken=True)),)

OTHERS: dict[str, Scenario] = {
    "a turn that was lost in a fork which retells answers": Scenario(
        ids=False, moves=(Say(), Rewind(), Say(dialogue=-1), Say(works=False, mishaps=LOST))
    ),
    "a divergence that is none, told by old rows after a compaction": Scenario(
        moves=(Say(), Say(compacts=True), Configure(on_divergence="error"), Say())
    ),
    "a denial of a call whose id was answered before, without Redis": Scenario(
        redis=False,
        ids=False,
        moves=(Say(rounds=(2, 1), works=False), Work(mishaps=CRASH), Say(works=False)),
        counts_calls=True,
        parallel_calls=False,
    ),
    "an open call of a stranger behind a compaction": Scenario(
        pinned="conversation", moves=(Say(), Say(compacts=True), Stranger(calls=True), Say())
    ),
    "what others said behind a compaction that Letta Cloud makes": Scenario(
        ids=False, cloud=True, moves=(Say(), Say(compacts=True), Stranger(calls=False), Say())
    ),
    "half of a turn of another process": Scenario(
        ids=False, moves=(Say(), Say(rounds=(1,), works=False), Together(apart=True, same=True, schedule=(0,)))
    ),
    "an old result for a new call of the same id": Scenario(
        moves=(Say(), Say(rounds=(2, 1), works=False), Work(mishaps=CRASH), Say()),
        counts_calls=True,
        parallel_calls=False,
    ),
    "a result of another agent's call of the same id": Scenario(
        counts_calls=True,
        moves=(Say(rounds=(1,), works=False, agent=1), Switch(), Say(rounds=(1,)), Say(agent=1, works=False)),
    ),
    "two results that differ in their words beside a picture": Scenario(
        parts=True, moves=(Say(rounds=(1,)), Regenerate(which=1))
    ),
    "other words after a turn that was lost": Scenario(
        ids=False,
        pinned="conversation",
        moves=(Say(), Say(mishaps=(Mishap(fault=Fault(kind="down", taken=True), again=False),)), Say()),
    ),
    "other words after a call that was lost": Scenario(
        ids=False,
        moves=(
            Say(rounds=(1,), works=False, mishaps=(Mishap(fault=Fault(kind="down", taken=True), again=False),)),
            Say(),
        ),
    ),
    "a call that another process has open": Scenario(moves=(Say(), Together(calls=True, apart=True))),
}
"""Those that need more than moves."""


@pytest.mark.parametrize("scenario", OTHERS.values(), ids=OTHERS.keys())
def test_a_scenario_that_went_wrong_once(scenario: Scenario, loop: asyncio.AbstractEventLoop) -> None:
    play(scenario, loop)
