"""Calls of `ChatLetta` cut on real sockets, on the double."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langchain_letta import ChatLetta
from letta_adapters.errors import LettaError
from letta_adapters.testing.script import COMPLETION_TOKENS, PROMPT_TOKENS
from tests.faults.dialogues import DIALOGUES, RESULT, Dialogue
from tests.faults.proxy import FaultProxy
from tests.faults.stage import Stage, measure, sleepless, sleepless_async
from tests.faults.sweep import Plan, Report, row_plans, single_plans
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import TOOLS, Ask, call_ids, conversation_of, each_way, human

SINGLE = 12
ROWS = 4

each_dialogue = pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)


@pytest.fixture
def reader(proxy: FaultProxy) -> Iterator[Reader]:
    with Reader(proxy.upstream) as opened:
        yield opened


@pytest.fixture
def model(stage: Stage) -> ChatLetta:
    """A model that follows the transcript."""
    model = ChatLetta(agent_id=stage.agent_id, base_url=stage.lane.base_url)
    sleepless(model.client)
    sleepless_async(model.async_client)
    return model


@pytest.fixture
def plans(stage: Stage, dialogue: Dialogue, ask: Ask) -> list[Plan]:
    lengths = measure(stage, dialogue)
    seed = ask.__name__
    single = single_plans(dialogue, lengths, offsets=SINGLE, seed=seed)
    return [
        *random.Random(seed).sample(single, SINGLE),
        *row_plans(dialogue, lengths, count=ROWS, seed=seed),
    ]


@each_way
@each_dialogue
async def test_calls_that_are_cut_are_whole_and_stored_once(
    stage: Stage, model: ChatLetta, reader: Reader, dialogue: Dialogue, plans: list[Plan], ask: Ask
) -> None:
    report = Report()
    for plan in plans:
        report.add(dialogue, plan, await chat(stage, model, reader, dialogue, plan, ask))
    assert not report.wrong, str(report)
    assert report.cut_turns == (SINGLE + ROWS) * len(dialogue.turns)


async def chat(stage: Stage, model: ChatLetta, reader: Reader, dialogue: Dialogue, plan: Plan, ask: Ask) -> list[str]:
    """Hold a dialogue whose turns are cut as planned; gives what is wrong with it."""
    bound, transcript, wrong = model.bind_tools(TOOLS), list[BaseMessage]([human(dialogue.asked)]), list[str]()
    for cuts in plan:
        stage.lane.cut(*cuts)
        try:
            answer = await ask(bound, transcript)
        except LettaError as error:
            return [*wrong, f"the caller got {error!r}"]
        wrong += [*usage_faults(answer), *(f"{cut} was not met" for cut in stage.lane.left)]
        transcript += [answer, *(ToolMessage(RESULT, tool_call_id=call_id) for call_id in call_ids(answer))]
    conversation = conversation_of(transcript[-1])
    if story_of(transcript) != reader.story(conversation):
        wrong.append(f"the caller got {story_of(transcript)}")
    return [*wrong, *stage.at_server(conversation, dialogue, turns=len(dialogue.turns))]


def usage_faults(answer: AIMessage) -> list[str]:
    usage = answer.usage_metadata
    counted = (usage["input_tokens"], usage["output_tokens"]) if usage else None
    return [] if counted == (PROMPT_TOKENS, COMPLETION_TOKENS) else [f"the usage is {usage}"]
