"""The threads that are killed: what is asked in each, what is answered, and what must have been executed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from tests.conftest import TIMEOUT, Backend, fresh_agent
from tests.durability.program import Job
from tests.langchain.readback import Line, Reader, story_of
from tests.langchain.support import CALL, IN_SEQUENCE, TWO_CALLS, conversation_of

LAST = "[[recall]] and now?"
"""The question after everything: the answer is what the model sees of the thread."""


@dataclass(frozen=True, kw_only=True)
class Thread:
    """A dialogue of several questions."""

    asks: Sequence[str]
    answers: Sequence[str]
    executed: Sequence[str] = ()
    system_prompt: str | None = None

    @property
    def system_story(self) -> list[Line]:
        return [("system", self.system_prompt)] if self.system_prompt else []


TEXT = Thread(asks=["[[think let me see]] [[say one two three]]"], answers=["one two three"])
ONE_CALL = Thread(
    asks=[CALL], answers=["The tools answered: 3"], executed=["add 1 2"], system_prompt="You compute with care."
)
SEQUENCE = Thread(
    asks=[f"[[think first I add]] {IN_SEQUENCE}"], answers=["It is 3 and 12"], executed=["add 1 2", "multiply 3 4"]
)
PARALLEL = Thread(asks=[TWO_CALLS], answers=["The tools answered: 3 | 12"], executed=["add 1 2", "multiply 3 4"])
TURNS = Thread(
    asks=["[[say hello there]]", IN_SEQUENCE, f"[[think again]] {CALL}", "[[say bye now]]"],
    answers=["hello there", "It is 3 and 12", "The tools answered: 3", "bye now"],
    executed=["add 1 2", "multiply 3 4", "add 1 2"],
    system_prompt="You compute with care.",
)
THREADS = {"text": TEXT, "call": ONE_CALL, "sequence": SEQUENCE, "parallel": PARALLEL, "turns": TURNS}


def check_nothing_lost_or_doubled(thread: Thread, job: Job, reader: Reader, *, again: Sequence[str] = ()) -> None:
    """The server holds one conversation, and in it what the checkpoints hold, whole and once.

    Args:
        thread: The dialogue, without its last question.
        job: The job that asked it, and then the last question.
        reader: The independent witness.
        again: Executions that a kill in the middle of a tool makes happen once more.
    """
    transcript = job.transcript
    assert [message.text for message in transcript if isinstance(message, HumanMessage)] == [*thread.asks, LAST]
    assert final_answers(transcript)[:-1] == list(thread.answers)
    conversations = reader.conversations(job.agent_id)
    assert len(conversations) == 1, f"{len(conversations) - 1} conversations belong to nobody"
    (conversation,) = conversations
    assert {conversation_of(message) for message in transcript if isinstance(message, AIMessage)} == {conversation}
    assert reader.story(conversation) == thread.system_story + story_of(transcript)
    results = [message.tool_call_id for message in transcript if isinstance(message, ToolMessage)]
    assert [part["tool_call_id"] for part in reader.answers(conversation)] == results
    assert len(results) == len(set(results)) == len(thread.executed)
    assert reader.rows(conversation)[-1]["message_type"] == "assistant_message"
    assert sorted(job.executed) == sorted([*thread.executed, *again])
    seen = transcript[-1].text.splitlines()
    assert [line for line in seen if line.startswith("assistant: ") and line != "assistant: "] == [
        f"assistant: {answer}" for answer in thread.answers
    ]
    assert len([line for line in seen if line.startswith("user: ")]) == len(thread.asks) + 1


def final_answers(transcript: Sequence[BaseMessage]) -> list[str]:
    """The answers that end a turn."""
    return [message.text for message in transcript if isinstance(message, AIMessage) and not message.tool_calls]


def new_job(agent_id: str, base_url: str, folder: Any, thread: Thread, **options: Any) -> Job:
    return Job(
        base_url=base_url,
        agent_id=agent_id,
        folder=str(folder),
        asks=thread.asks,
        system_prompt=thread.system_prompt,
        **options,
    )


@contextmanager
def parallel_agent(backend: Backend) -> Generator[str, None, None]:
    """A fresh agent that may call several tools at once, all of which the server keeps."""
    settings = {"provider_type": "openai", "parallel_tool_calls": True}
    with fresh_agent(backend) as agent_id, httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.patch(f"/v1/agents/{agent_id}", json={"model_settings": settings}).raise_for_status()
        yield agent_id
