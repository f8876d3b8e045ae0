"""Workers that share nothing but Letta: Celery hands out the questions, and one worker is killed in the middle of one.

A question is a job: the id of a conversation, an id for the message, and the text. Whichever process takes it makes a
model of its own. Celery gives the job of a process that died to another one, which asks under the same id: so it gets
the answer that is already under way, and the question is stored once.

The broker is `CELERY_BROKER_URL`, such as `redis://localhost:6379/0`; without it, files in a temporary folder. The rest
is as in `where.py`. Needs `pip install 'celery[redis]'`, and a system that has `fork`.
"""

# Celery has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from celery import Celery
from langchain_core.messages import HumanMessage
from where import Place, an_agent

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.testing import Hold, Reply

PLACES = ("Oslo", "Bergen", "Tromsø", "Bodø")
KILLED = "Bergen"
GATE = "half of the answer"

app = Celery("celery_workers", broker=os.environ.get("CELERY_BROKER_URL", "filesystem://"))
app.conf.update(
    # A job is done when it has ended, not when it was taken; one whose process died goes to another.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
)


def keep_jobs_in(folder: str) -> None:
    """Use files as the broker, where there is no other one."""
    control = f"{folder}/control"
    files = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": control}
    app.conf.broker_transport_options = files


if given := os.environ.get("EXAMPLE_FOLDER"):
    keep_jobs_in(given)


def ask(conversation_id: str, message_id: str, text: str) -> None:
    """Ask a question, in whichever process; its answer is in the conversation for everybody who looks."""
    tell("took", text)
    model = ChatLetta(conversation_id=conversation_id)
    answer = ""
    for chunk in model.stream([HumanMessage(text, id=message_id)]):
        if not answer and chunk.text:
            tell("hears", text)
        answer += chunk.text
    tell("done", text, answer)


ask_later: Any = app.task(ask, name="ask")


def tell(event: str, *words: str) -> None:
    """Tell the program that started the workers; a line is written at once and whole."""
    os.write(1, (json.dumps([event, os.getpid(), *words]) + "\n").encode())


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Play the language model on the double; one answer stops half-way until somebody opens the gate."""
    place = str(messages[-1]["content"]).removeprefix("Where is ").removesuffix("?")
    hold = Hold(gate=GATE, after=2) if place == KILLED else None
    return Reply(text=f"{place} is in Norway.", hold=hold)


@contextmanager
def workers(environment: dict[str, str]) -> Generator[Iterator[list[Any]], None, None]:
    """Three processes that take jobs; gives what they tell."""
    options = [
        "--pool",
        "prefork",
        "--concurrency",
        "3",
        "--loglevel",
        "CRITICAL",
        "--without-gossip",
        "--without-mingle",
    ]
    started = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_workers", "worker", *options],
        cwd=Path(__file__).parent,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert started.stdout is not None
    try:
        yield (json.loads(line) for line in started.stdout if line.startswith(b"["))
    finally:
        started.terminate()
        try:
            started.wait(timeout=30)
        finally:
            started.kill()
            started.stdout.close()


def show(place: Place, environment: dict[str, str]) -> None:
    """Ask four questions in four conversations, and kill the process that has begun with one of them."""
    with LettaClient(base_url=place.base_url) as client:
        conversations = {name: client.conversations.create(agent_id=place.agent_id).id for name in PLACES}
        with workers(environment) as told:
            for name, conversation_id in conversations.items():
                ask_later.delay(conversation_id, f"question-about-{name}", f"Where is {name}?")
            takers = until_all_are_answered(told, place)
        for name, conversation_id in conversations.items():
            rows = client.conversations.messages.list(conversation_id, order="asc")
            stored = Counter(row.message_type for row in rows)
            print(f"{name:<7} asked by {takers[name]}, stored {stored['user_message']}", end=": ")
            print(getattr(rows[-1], "content", ""))


def until_all_are_answered(told: Iterator[list[Any]], place: Place) -> Counter[str]:
    """Listen to the workers; gives how many processes took each question."""
    takers: Counter[str] = Counter()
    answered: set[str] = set()
    killed = False
    for event, process, text, *_ in told:
        name = text.removeprefix("Where is ").removesuffix("?")
        if event == "took":
            takers[name] += 1
        if event == "hears" and name == KILLED and not killed:
            killed = True
            os.kill(process, signal.SIGKILL)
            print(f"killed the process that was hearing about {name}")
            if place.double is not None:
                place.double.open_gate(GATE)
        if event == "done":
            answered.add(name)
        if answered == set(PLACES):
            return takers
    raise RuntimeError("The workers ended before everything was answered.")


def main() -> None:
    """Run it."""
    with an_agent(play_model) as place, TemporaryDirectory() as files:
        environment = {"LETTA_BASE_URL": place.base_url, "LETTA_AGENT_ID": place.agent_id}
        if "CELERY_BROKER_URL" not in os.environ:
            environment["EXAMPLE_FOLDER"] = files
            keep_jobs_in(files)
        show(place, environment)


if __name__ == "__main__":
    main()
