"""What is loaded when it is first asked for: whole, once, and by any number of threads at the same time."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from pydantic import TypeAdapter

from letta_adapters import wire
from letta_adapters.wire import (
    CompactionSettings,
    CompactionStats,
    InternalMessage,
    OpenAIModelSettings,
    UpdateSystemMessage,
)

ON_DEMAND = {
    "CompactionSettings": "compaction",
    "InternalMessage": "internal",
    "ModelSettings": "model_settings",
    "MessageUpdate": "updates",
}

THREADS = """
import json, sys, threading

def use():
    from letta_adapters import AsyncLettaClient, LettaClient
    from letta_adapters.wire import CompactionSettings, InternalMessage, MessageCreate, TurnRequest, UserMessage
    from letta_adapters.wire import ModelSettings, OpenAIModelSettings, UpdateSystemMessage, parse_event
    from pydantic import TypeAdapter
    LettaClient(base_url="http://localhost").close()
    AsyncLettaClient(base_url="http://localhost")
    settings = TypeAdapter(ModelSettings).validate_python({"provider_type": "openai", "temperature": 1})
    said = InternalMessage.model_validate({"id": "m", "role": "user", "content": [{"type": "text", "text": "a"}]})
    return [
        TurnRequest(messages=[MessageCreate(role="user", content="Hello", otid="1")]).to_json().decode(),
        parse_event(b'{"message_type": "user_message", "id": "message-1", "content": "Hello"}').model_dump_json(),
        CompactionSettings(mode="all", model_settings=settings).model_dump_json(exclude_none=True),
        UpdateSystemMessage(content="Hello").model_dump_json(),
        said.model_dump_json(exclude_none=True),
    ], [LettaClient, AsyncLettaClient, UserMessage, OpenAIModelSettings, type(settings), type(said)]

barrier = threading.Barrier(COUNT)
done = [None] * COUNT

def run(number):
    barrier.wait()
    done[number] = use()

sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=run, args=[number]) for number in range(COUNT)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

def classes_below(base):
    return [one for cls in base.__subclasses__() for one in (cls, *classes_below(cls))]

from letta_adapters.client.methods import AsyncResource, Resource
from letta_adapters.wire import InputModel, WireModel
names = [f"{cls.__module__}.{cls.__name__}" for base in (WireModel, InputModel, Resource, AsyncResource)
    for cls in classes_below(base)]
assert all(one[1] == done[0][1] for one in done), "threads got other classes"
assert all(one[0] == done[0][0] for one in done), "threads got other values"
print(json.dumps([done[0][0], sorted(names)]))
"""
"""Threads that use all of the package for the first time at once; prints what they made, and the classes there are."""


def test_threads_that_use_everything_for_the_first_time_at_once_load_it_once() -> None:
    made, classes = TypeAdapter(tuple[list[str], list[str]]).validate_json(_run(THREADS.replace("COUNT", "16")))
    alone = TypeAdapter(tuple[list[str], list[str]]).validate_json(_run(THREADS.replace("COUNT", "1")))
    assert (made, classes) == alone
    assert len(set(classes)) == len(classes) > 90


@pytest.mark.parametrize(("name", "module"), ON_DEMAND.items())
def test_what_few_programs_name_is_loaded_when_it_is_named(name: str, module: str) -> None:
    before = "import sys; from letta_adapters import wire; from letta_adapters.wire import UserMessage"
    assert _run(f"{before}; print('letta_adapters.wire.{module}' in sys.modules)") == "False\n"
    assert _run(f"{before}; wire.{name}; print('letta_adapters.wire.{module}' in sys.modules)") == "True\n"
    assert _run(f"{before}; wire.{module}; print('letta_adapters.wire.{module}' in sys.modules)") == "True\n"
    assert _run(f"{before}; from letta_adapters.wire import *; print({name} is wire.{name})") == "True\n"


def test_the_types_list_what_they_have_before_it_is_loaded() -> None:
    assert {*wire.__all__, *ON_DEMAND.values()} <= {*dir(wire)}


def test_a_type_that_is_not_there_is_looked_for_nowhere() -> None:
    code = "import sys; from letta_adapters import wire; print(hasattr(wire, 'Nothing'), 'letta_adapters.wire.updates'"
    assert _run(f"{code} in sys.modules)") == "False False\n"


@pytest.mark.parametrize(
    "value",
    [
        OpenAIModelSettings(temperature=1),
        CompactionSettings(mode="all"),
        CompactionStats(trigger="a", context_window=1, messages_count_before=2, messages_count_after=1),
        InternalMessage(id="message-1", role="user"),
        UpdateSystemMessage(content="Hello"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_pickle_is_read_by_a_process_that_has_not_loaded_its_type(value: object) -> None:
    code = f"import pickle; print(repr(pickle.loads({pickle.dumps(value)!r})))"
    assert _run(code) == f"{value!r}\n"


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
