from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from letta_adapters import LettaClient
from tests.conftest import Backend, fresh_agent
from tests.contract.on_cloud import mark
from tests.contract.wire import Wire
from tests.recorded.album import Recordings, cassette_of, recordings, write
from tests.recorded.exchange import Exchange, normalised, without_polls
from tests.recorded.matching import Bindings
from tests.recorded.reading import is_readable, is_stream, shape
from tests.recorded.tape import recording, replaying

_passed = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say which scenarios Letta Cloud plays."""
    scenarios = [item for item in items if Path(__file__).parent in item.path.parents]
    mark(scenarios, backend=str(config.getoption("--backend")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_passed] = report.passed
    return report


@pytest.fixture(scope="module")
def new_recordings(request: pytest.FixtureRequest) -> Iterator[Recordings]:
    """What is recorded of a module's scenarios, written in the end over what was there."""
    new: Recordings = {}
    yield new
    if new:
        path = cassette_of(request.path)
        write(path, {**recordings(path), **new})


@pytest.fixture(autouse=True)
def tape(
    request: pytest.FixtureRequest, backend: Backend, no_redis_backend: Backend, new_recordings: Recordings
) -> Iterator[None]:
    """What stands in the server's place, or listens to it: a recording is played, written, or compared with."""
    name = request.node.nodeid.partition("::")[2]
    recorded = recordings(cassette_of(request.path)).get(name)
    played = str(request.config.getoption("--backend"))
    replays = played == "recorded"
    unrecorded = request.node.get_closest_marker("not_recorded")
    if unrecorded and replays:
        pytest.skip(f"not recorded: {unrecorded.args[0]}")
    elif unrecorded or played.startswith("cloud"):  # which is not what was recorded
        yield
    elif replays:
        assert recorded is not None, "not recorded yet: run `make record`"
        with replaying(recorded):
            yield
    else:
        with recording([backend.base_url, no_redis_backend.base_url]) as heard:
            yield
        if not request.node.stash[_passed]:
            return
        if request.config.getoption("--record"):
            new_recordings[name] = normalised(heard())
        elif recorded is not None:
            compare(without_polls(heard()), recorded)


def compare(heard: list[Exchange], recorded: list[Exchange]) -> None:
    """The same has to be asked as when it was recorded, and to be answered in the same shape."""
    bindings = Bindings([replace(one, answer="") for one in recorded])
    assert len(heard) == len(recorded)
    for one, other in zip(heard, recorded, strict=True):
        assert bindings.agree(one.request, other.request), f"{one.request}\nis not\n{other.request}"
        assert one.status == other.status, one.request
        if is_stream(other.response):
            assert shape(one) == shape(other), one.request
    assert _rows(heard) == _rows(recorded)


def _rows(exchanges: list[Exchange]) -> set[str]:
    """The shapes of all listed messages; their order is the scenario's to check, and sometimes chance."""
    pages = [one for one in exchanges if not is_stream(one.response) and is_readable(one)]
    return {json.dumps(row, sort_keys=True) for page in pages for row in shape(page)}


@pytest.fixture
def agent_id(backend: Backend) -> Iterator[str]:
    """A fresh agent whose system prompt is short, since it is in every list of messages."""
    with fresh_agent(backend, system="You are brief.") as agent:
        yield agent


@pytest.fixture
def wire(backend: Backend) -> Iterator[Wire]:
    """The independent witness on the server with Redis."""
    with Wire(backend.base_url, api_key=backend.api_key) as opened:
        yield opened


@pytest.fixture
def client(backend: Backend) -> Iterator[LettaClient]:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as made:
        yield made
