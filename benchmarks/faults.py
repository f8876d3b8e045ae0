"""The same faults through this package's client and through the official one: `python -m benchmarks.faults`.

Each fault meets one turn of a conversation of its own: the connection is reset, closed, or the answer is ended cleanly
too early; before the request is forwarded, once it is, or at a byte of the answer. What the caller got is compared with
what the server then holds. Runs on the embedded double, or on a server with Redis: `--url … --model-handle …`; its
model has to be the scripted one of `letta_adapters.testing.script`.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import letta_client
from rich.console import Console
from rich.table import Table

from letta_adapters import AsyncLettaClient
from letta_adapters.testing import FakeLetta
from letta_adapters.wire import ApprovalCreate, ClientTool, ToolReturn
from tests.contract.build import ADD, user
from tests.contract.wire import Wire
from tests.faults.dialogues import RESULT, TEXT, TOOL, Dialogue
from tests.faults.proxy import Cut, End, FaultProxy, Where
from tests.faults.stage import Stage, measure, settled
from tests.faults.sweep import single_cuts

AT_ONCE = 8
LATE = 3.0
"""Seconds in which what was forwarded shows up at a server."""

TRIED = "faults tried"
WHOLE = "whole, and stored once"
TWICE = "stored twice, or a turn added"
WRONG = "… with a wrong answer and no error"
SHORT = "cut short without an error"
RAISED = "raised, although stored"
LOST = "raised, and not stored"
ROWS = (TRIED, WHOLE, TWICE, WRONG, SHORT, RAISED, LOST, "connections left open", "threads left", "tasks left")


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client under test: says something, or gives the result of a call; both give the text of the answer."""

    say: Callable[[str, str], Awaitable[str]]
    answer: Callable[[str, str], Awaitable[str]]
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One turn and what happens to it."""

    dialogue: Dialogue
    cut: Cut


def ours(base_url: str) -> Client:
    client = AsyncLettaClient(base_url=base_url)
    tools = [ClientTool(**ADD)]

    async def say(conversation: str, text: str) -> str:
        return (await client.conversations.messages.create(conversation, input=text, client_tools=tools).result()).text

    async def answer(conversation: str, call_id: str) -> str:
        results = ApprovalCreate(approvals=[ToolReturn(tool_call_id=call_id, tool_return=RESULT)])
        turn = client.conversations.messages.create(conversation, messages=[results], client_tools=tools)
        return (await turn.result()).text

    return Client(say=say, answer=answer, close=client.aclose)


def official(base_url: str) -> Client:
    client = letta_client.AsyncLetta(base_url=base_url, api_key="none")

    async def send(conversation: str, message: Any) -> str:
        tools: list[Any] = [ADD]
        text = ""
        async with await client.conversations.messages.create(
            conversation, messages=[message], client_tools=tools, stream_tokens=True
        ) as stream:
            async for event in stream:
                if event.message_type == "assistant_message":
                    text += str(event.content)
        return text

    async def say(conversation: str, text: str) -> str:
        return await send(conversation, {"role": "user", "content": text})

    async def answer(conversation: str, call_id: str) -> str:
        result = {"type": "tool", "tool_call_id": call_id, "tool_return": RESULT, "status": "success"}
        return await send(conversation, {"type": "approval", "approvals": [result]})

    return Client(say=say, answer=answer, close=client.close)


def faults(stage: Stage, *, background: bool) -> list[Fault]:
    """The faults; the bytes are those of the stream that the client asks for."""
    tried: list[Fault] = []
    for dialogue in (TEXT, TOOL):
        clean = measure(stage, dialogue, background=background)[-1]
        for (cut,) in single_cuts(clean, offsets=7, seed="benchmark"):
            if cut.end is not End.CLEAN or isinstance(cut.at, int):  # no gateway makes up an answer
                tried.append(Fault(dialogue=dialogue, cut=cut))
    return tried


async def outcome(stage: Stage, client: Client, fault: Fault) -> list[str]:
    """Try one fault; gives the rows of the table that it counts in."""
    dialogue = fault.dialogue
    conversation = await asyncio.to_thread(stage.new_conversation)
    call_id = await asyncio.to_thread(pending_call, stage, conversation) if dialogue is TOOL else None
    stage.lane.cut(fault.cut)
    got: str | None = None
    try:
        got = await (client.answer(conversation, call_id) if call_id else client.say(conversation, dialogue.asked))
    except Exception as error:  # whatever it raises, the caller is told
        if isinstance(error, AssertionError):
            raise
    forwarded = fault.cut.at is not Where.UNSENT or got is not None
    held = await asyncio.to_thread(held_by_server, stage, conversation, dialogue, forwarded)
    wanted = dialogue.rows[-1][-1][1]
    return [TRIED, *verdict(got, wanted, held, dialogue)]


def verdict(got: str | None, wanted: str, held: Sequence[tuple[str, str]], dialogue: Dialogue) -> list[str]:
    """The rows of the table that an outcome counts in."""
    once = list(held) == dialogue.story(len(dialogue.turns))
    before = list(held) == dialogue.story(len(dialogue.turns) - 1)
    if not once and not before:
        return [TWICE, WRONG] if got is not None and not wanted.startswith(got) else [TWICE]
    if got is None:
        return [RAISED] if once else [LOST]
    return [WHOLE] if once and got == wanted else [SHORT]


def pending_call(stage: Stage, conversation: str) -> str:
    """Let the agent call a tool; gives the id of the call."""
    return stage.witness.post(conversation, user(TOOL.asked), client_tools=[ADD]).call_id


def held_by_server(stage: Stage, conversation: str, dialogue: Dialogue, forwarded: bool) -> list[tuple[str, str]]:
    """What the conversation holds once its last turn has ended."""
    deadline = time.monotonic() + LATE
    while True:
        settled(stage, conversation)
        story = stage.witness.story(conversation)
        if not forwarded or story != dialogue.story(len(dialogue.turns) - 1) or time.monotonic() > deadline:
            return story
        time.sleep(0.1)


async def tried(stage: Stage, proxy: FaultProxy, make: Callable[[str], Client], plan: list[Fault]) -> Counter[str]:
    """Share the faults among clients that run at once."""
    counts: Counter[str] = Counter()

    async def work(share: Sequence[Fault]) -> Client:
        own = replace(stage, lane=proxy.lane())
        client = make(own.lane.base_url)
        for fault in share:
            counts.update(await outcome(own, client, fault))
        return client

    clients = await asyncio.gather(*(work(plan[number::AT_ONCE]) for number in range(AT_ONCE)))
    await asyncio.to_thread(proxy.wait_until, lambda count: count <= AT_ONCE, 2.0)
    counts["connections left open"] = max(0, proxy.open - AT_ONCE)
    for client in clients:
        await client.close()
    counts["tasks left"] = len(asyncio.all_tasks()) - 1
    return counts


@contextmanager
def stage_at(url: str, handle: str) -> Generator[tuple[Stage, FaultProxy], None, None]:
    """An agent at a server, and the proxy in front of it."""
    with Wire(url) as witness, FaultProxy(url) as proxy:
        fields = {"name": "faults", "agent_type": "letta_v1_agent", "model": handle, "include_base_tools": False}
        agent = witness.http.post("/v1/agents/", json=fields).raise_for_status().json()["id"]
        try:
            yield Stage(lane=proxy.lane(), agent_id=agent, witness=witness), proxy
        finally:
            witness.http.delete(f"/v1/agents/{agent}")


def measured(url: str, handle: str) -> list[tuple[str, Counter[str]]]:
    columns: list[tuple[str, Counter[str]]] = []
    for name, make, background in (
        ("letta-adapters", ours, True),
        (f"letta-client {letta_client.__version__}", official, False),
    ):
        with stage_at(url, handle) as (stage, proxy):
            plan = faults(stage, background=background)
            threads = threading.active_count()
            counts = asyncio.run(tried(stage, proxy, make, plan))
            counts["threads left"] = threading.active_count() - threads
        columns.append((name, counts))
    return columns


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description="Faults through two clients.")
    parser.add_argument("--url", help="a server with Redis; the embedded double unless given")
    parser.add_argument("--model-handle", default="vllm/scripted", help="the handle of the scripted model there")
    options = parser.parse_args()
    if options.url:
        columns = measured(options.url, options.model_handle)
    else:
        with FakeLetta() as fake:
            columns = measured(fake.base_url, options.model_handle)
    table = Table("", *(name for name, _ in columns), box=None)
    for row in ROWS:
        table.add_row(row, *(str(counts[row]) for _, counts in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
