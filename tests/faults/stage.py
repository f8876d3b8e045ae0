"""Where dialogues are cut: a lane in front of a server, an agent, a witness; and the carrying out of one dialogue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.errors import LettaError
from tests.contract.build import ADD, answers, result, user
from tests.contract.wire import Wire, until, whole_turn
from tests.faults.dialogues import RESULT, Dialogue, faults_of
from tests.faults.proxy import Cut, FaultProxy, Lane
from tests.faults.sweep import Clean, Cuts, Plan, Report

_CLIENTS = 8


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A server behind a lane; the witness asks the server itself, and shares no code with this package."""

    lane: Lane
    agent_id: str
    witness: Wire

    def new_conversation(self) -> str:
        return self.witness.new_conversation(self.agent_id)

    def at_server(self, conversation: str, dialogue: Dialogue, *, turns: int) -> list[str]:
        """What is wrong with what the server holds after so many turns of a dialogue."""
        story = self.witness.story(conversation)
        return [] if story == dialogue.story(turns) else [f"the server holds {story}"]


@dataclass(kw_only=True)
class Played:
    """How far a dialogue came: so many whole turns, what is wrong with these, the error that ended it.

    A cut that no request met is kept as `unmet`: it tested nothing.
    """

    conversation: str
    turns: int = 0
    wrong: list[str] = field(default_factory=list[str])
    unmet: list[Cut] = field(default_factory=list["Cut"])
    error: LettaError | None = None


Verdict = Callable[[Stage, Dialogue, Plan, Played], list[str]]
"""Says what is wrong with a dialogue, once it was played."""


def exactly_once(stage: Stage, dialogue: Dialogue, plan: Plan, played: Played) -> list[str]:
    """Whatever was cut, the caller has every turn whole and the server has it once."""
    told = [f"the caller got {played.error!r}"] if played.error else []
    unmet = [f"{cut} was not met" for cut in played.unmet]
    return [*played.wrong, *told, *unmet, *stage.at_server(played.conversation, dialogue, turns=len(dialogue.turns))]


def settled(stage: Stage, conversation: str) -> None:
    """Return once no run of the conversation is in flight any more."""
    until(lambda: all(run["completed_at"] is not None for run in stage.witness.runs(conversation)))


def sleepless(client: LettaClient) -> LettaClient:
    """The same client, with no pause between its attempts."""

    def pass_by(seconds: float) -> None:
        pass

    client._sender._sleep = pass_by  # pyright: ignore[reportPrivateUsage]
    return client


def sleepless_async(client: AsyncLettaClient) -> AsyncLettaClient:
    """The asynchronous twin of `sleepless`."""

    async def pass_by(seconds: float) -> None:
        pass

    client._sender._sleep = pass_by  # pyright: ignore[reportPrivateUsage]
    return client


def play(stage: Stage, client: LettaClient, dialogue: Dialogue, plan: Plan) -> Played:
    """Carry out a dialogue in a conversation of its own, its turns cut as planned."""
    played, turn = Played(conversation=stage.new_conversation()), None
    try:
        for parts, cuts in zip(dialogue.turns, plan, strict=True):
            stage.lane.cut(*cuts)
            with client.conversations.messages.create(
                played.conversation, streaming=True, **dialogue.ask(turn)
            ) as stream:
                events = list(stream)
                turn = stream.result()
            played.turns += 1
            played.wrong += faults_of(turn, events, parts)
            played.unmet += stage.lane.left
    except LettaError as error:
        played.error = error
    return played


async def aplay(stage: Stage, client: AsyncLettaClient, dialogue: Dialogue, plan: Plan) -> Played:
    """The asynchronous twin of `play`."""
    played, turn = Played(conversation=await asyncio.to_thread(stage.new_conversation)), None
    try:
        for parts, cuts in zip(dialogue.turns, plan, strict=True):
            stage.lane.cut(*cuts)
            async with client.conversations.messages.create(
                played.conversation, streaming=True, **dialogue.ask(turn)
            ) as stream:
                events = [event async for event in stream]
                turn = await stream.result()
            played.turns += 1
            played.wrong += faults_of(turn, events, parts)
            played.unmet += stage.lane.left
    except LettaError as error:
        played.error = error
    return played


def play_all(
    stage: Stage, client: LettaClient, dialogue: Dialogue, plans: Sequence[Plan], verdict: Verdict = exactly_once
) -> Report:
    """Carry out a dialogue once for every plan."""
    report = Report()
    for plan in plans:
        report.add(dialogue, plan, verdict(stage, dialogue, plan, play(stage, client, dialogue, plan)))
    return report


async def aplay_all(
    stage: Stage, client: AsyncLettaClient, dialogue: Dialogue, plans: Sequence[Plan], verdict: Verdict = exactly_once
) -> Report:
    """The asynchronous twin of `play_all`."""
    report = Report()
    for plan in plans:
        played = await aplay(stage, client, dialogue, plan)
        report.add(dialogue, plan, await asyncio.to_thread(verdict, stage, dialogue, plan, played))
    return report


async def play_at_once(
    proxy: FaultProxy,
    stage: Stage,
    dialogue: Dialogue,
    plans: Sequence[Plan],
    verdict: Verdict = exactly_once,
    *,
    reads: bool = False,
    warm: bool = False,
) -> Report:
    """Share the plans among eight clients, four of them in threads and four in tasks, with real pauses.

    With `warm`, each begins with a dialogue that is not cut, so that it knows the server; with `reads`, what it reads
    back is cut too.
    """

    def in_thread(lane: Lane, share: Sequence[Plan]) -> Report:
        with LettaClient(base_url=lane.base_url) as client:
            return play_all(replace(stage, lane=lane), client, dialogue, share, verdict)

    async def in_task(lane: Lane, share: Sequence[Plan]) -> Report:
        async with AsyncLettaClient(base_url=lane.base_url) as client:
            return await aplay_all(replace(stage, lane=lane), client, dialogue, share, verdict)

    first = [tuple[Cuts, ...](() for _ in dialogue.turns)] if warm else []
    shares = [[*first, *plans[number::_CLIENTS]] for number in range(_CLIENTS)]
    reports = await asyncio.gather(
        *(asyncio.to_thread(in_thread, proxy.lane(reads=reads), share) for share in shares[::2]),
        *(in_task(proxy.lane(reads=reads), share) for share in shares[1::2]),
    )
    return Report(
        tried=[plan for report in reports for plan in report.tried],
        wrong=[line for report in reports for line in report.wrong],
    )


def measure(stage: Stage, dialogue: Dialogue, *, background: bool = True) -> list[Clean]:
    """The lengths of the answers to a dialogue that nothing cuts, taken by the witness."""
    conversation, lengths = stage.new_conversation(), list[Clean]()
    message = user(dialogue.asked)
    for _ in dialogue.turns:
        body = {"messages": [message], "client_tools": [ADD], "stream_tokens": True, "background": background}
        answer = stage.witness.http.post(f"/v1/conversations/{conversation}/messages", json=body)
        lengths.append(Clean.of(answer.content))
        calls = whole_turn(answer).of("approval_request_message")
        message = answers(*(result(frame["tool_call"]["tool_call_id"], RESULT) for frame in calls[:1]))
    return lengths
