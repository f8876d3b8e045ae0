"""A program that is killed: a LangGraph agent on a `ChatLetta`, with its checkpoints in a file.

`python -m tests.durability.program` imports everything once and then reads jobs from its input, one JSON object a
line. Each job is done by a process of its own, forked for it, so that it knows nothing of the processes before it; what
happens is told on the output, one JSON object a line. A process goes on where the checkpoints of its thread end: it
resumes what was begun, and asks those questions of the job that were not asked yet.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from langchain import agents
from langchain_core.messages import BaseMessage, HumanMessage, messages_from_dict, messages_to_dict
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langchain_letta import ChatLetta

Way = Literal["invoke", "stream", "ainvoke", "astream"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process is to do.

    Args:
        asks: The questions of the whole thread; those that the checkpoints hold are not asked again.
        way: How the agent is called.
        folder: Where the checkpoints, the list of executed tools and the transcript are kept.
        resume: Whether an unfinished step is resumed; else a new question abandons it.
        stop_in_tool: The execution of a tool, counted from 1, in which the process stops and waits for its end.
    """

    base_url: str
    agent_id: str
    folder: str
    asks: Sequence[str]
    way: Way = "invoke"
    conversation_id: str | None = None
    system_prompt: str | None = None
    resume: bool = True
    stop_in_tool: int | None = None
    thread_id: str = "thread-1"

    def line(self) -> str:
        """The job as it is sent."""
        return json.dumps(asdict(self)) + "\n"

    @property
    def config(self) -> Any:
        return {"configurable": {"thread_id": self.thread_id}}

    @property
    def database(self) -> str:
        return str(Path(self.folder) / "checkpoints.db")

    @property
    def executed(self) -> list[str]:
        """Every execution of a tool so far, by all processes."""
        path = Path(self.folder) / "executed"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def transcript(self) -> list[BaseMessage]:
        """The transcript as the last process that came to its end found it in the checkpoints."""
        return messages_from_dict(json.loads((Path(self.folder) / "transcript").read_text()))

    def keep(self, transcript: Sequence[BaseMessage]) -> None:
        (Path(self.folder) / "transcript").write_text(json.dumps(messages_to_dict(transcript)))


def say(event: str, **more: Any) -> None:
    """Tell the test something; a line is written at once, so that no two processes mix theirs."""
    os.write(1, (json.dumps({"event": event, **more}) + "\n").encode())


@dataclass(kw_only=True)
class Tools:
    """Tools that note each execution before anything else."""

    job: Job
    count: int = field(default=0)

    def all(self) -> list[BaseTool]:
        return [self._tool("add", "Add two numbers.", self.add), self._tool("multiply", "Multiply.", self.multiply)]

    def add(self, a: int, b: int) -> int:
        self._note(f"add {a} {b}")
        return a + b

    def multiply(self, a: int, b: int) -> int:
        self._note(f"multiply {a} {b}")
        return a * b

    def _tool(self, name: str, description: str, function: Callable[[int, int], int]) -> BaseTool:
        return StructuredTool.from_function(function, name=name, description=description)

    def _note(self, line: str) -> None:
        with (Path(self.job.folder) / "executed").open("a") as file:
            file.write(line + "\n")
        self.count += 1
        if self.count == self.job.stop_in_tool:
            say("in tool", line=line)
            signal.pause()


def agent_of(job: Job, saver: Any) -> Any:
    model = ChatLetta(agent_id=job.agent_id, conversation_id=job.conversation_id, base_url=job.base_url)
    return cast("Any", agents).create_agent(
        model, Tools(job=job).all(), system_prompt=job.system_prompt, checkpointer=saver
    )


def inputs_left(job: Job, state: Any) -> list[Any]:
    """What the agent is still to be invoked with; `None` resumes."""
    messages: list[BaseMessage] = state.values.get("messages", [])
    asked = sum(isinstance(message, HumanMessage) for message in messages)
    begun: list[Any] = [None] if state.next and job.resume else []
    return begun + [{"messages": [("user", text)]} for text in job.asks[asked:]]


def work(job: Job) -> Sequence[BaseMessage]:
    with SqliteSaver.from_conn_string(job.database) as saver:
        agent = agent_of(job, saver)
        for given in inputs_left(job, agent.get_state(job.config)):
            if job.way == "stream":
                for _ in agent.stream(given, job.config, stream_mode="messages", durability="sync"):
                    pass
            else:
                agent.invoke(given, job.config, durability="sync")
        return agent.get_state(job.config).values["messages"]


async def awork(job: Job) -> Sequence[BaseMessage]:
    async with AsyncSqliteSaver.from_conn_string(job.database) as saver:
        agent = agent_of(job, saver)
        for given in inputs_left(job, await agent.aget_state(job.config)):
            if job.way == "astream":
                async for _ in agent.astream(given, job.config, stream_mode="messages", durability="sync"):
                    pass
            else:
                await agent.ainvoke(given, job.config, durability="sync")
        return (await agent.aget_state(job.config)).values["messages"]


def do(job: Job) -> None:
    try:
        job.keep(work(job) if job.way in ("invoke", "stream") else asyncio.run(awork(job)))
    except Exception as error:
        say("failed", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc(limit=-4))
    else:
        say("done")


def main() -> None:
    say("ready")
    for line in sys.stdin:
        job = Job(**json.loads(line))
        process = os.fork()
        if not process:
            do(job)
            os._exit(0)
        say("started", process=process)
        _, status = os.waitpid(process, 0)
        say("ended", status=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
