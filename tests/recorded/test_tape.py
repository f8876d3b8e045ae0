"""Recording and replaying, whatever the server is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import HANDLE, Backend, fresh_agent
from tests.contract.build import user
from tests.contract.wire import Json, Wire
from tests.recorded.album import recordings, text_of, write
from tests.recorded.exchange import Exchange, normalised
from tests.recorded.tape import NotRecorded, recording, replaying

TEXT = "naïve 🙂\nand\ttwo lines"


@pytest.fixture
def nowhere() -> Backend:
    """A server that only a recording stands for."""
    return Backend(base_url="http://letta.invalid", handle=HANDLE, redis=True, open_gate=print, wait_for_gate=print)


def talk(backend: Backend, **options: Any) -> tuple[str, list[Json]]:
    """Play a turn; the otid that was sent, and the rows that are stored."""
    otid = str(uuid4())
    with fresh_agent(backend) as agent_id, Wire(backend.base_url) as wire:
        conversation_id = wire.new_conversation(agent_id)
        wire.post(conversation_id, user(TEXT, otid), **{"background": True, **options})
        return otid, wire.stored(conversation_id)


def recorded(backend: Backend) -> list[Exchange]:
    with recording([backend.base_url]) as heard:
        talk(backend)
    return normalised(heard())


def test_a_scenario_is_recorded_twice_with_the_same_requests(backend: Backend) -> None:
    first, second = recorded(backend), recorded(backend)
    assert [one.request for one in first] == [one.request for one in second]
    assert [one.status for one in first] == [one.status for one in second]


def test_a_replay_answers_with_the_otids_that_were_sent(backend: Backend, nowhere: Backend) -> None:
    with replaying(recorded(backend)):
        otid, (asked, answered) = talk(nowhere)
    assert (asked["otid"], asked["content"]) == (otid, TEXT)
    assert answered["content"] == f"You said: {TEXT}"


@pytest.mark.parametrize("options", [{"background": False}, {"stream_tokens": True}, {"max_steps": None}])
def test_a_request_with_other_fields_is_not_recorded(
    backend: Backend, nowhere: Backend, options: dict[str, Any]
) -> None:
    exchanges = recorded(backend)
    with pytest.raises(NotRecorded), replaying(exchanges):
        talk(nowhere, **options)


def test_an_answer_is_played_once(backend: Backend, nowhere: Backend) -> None:
    exchanges = recorded(backend)
    with pytest.raises(NotRecorded), replaying(exchanges):
        talk(nowhere)
        talk(nowhere)


def test_a_request_that_is_not_made_any_more_is_missed(backend: Backend, nowhere: Backend) -> None:
    *exchanges, last = recorded(backend)
    more = replace(last, request="GET /v1/models/")
    with pytest.raises(AssertionError, match="not asked for"), replaying([*exchanges, last, more]):
        talk(nowhere)


def test_who_is_not_the_server_is_not_recorded(backend: Backend) -> None:
    with recording(["http://letta.invalid"]) as heard:
        talk(backend)
    assert heard() == []


def test_a_cassette_gives_back_what_was_written(backend: Backend, tmp_path: Path) -> None:
    told = {"b": recorded(backend), "a": [Exchange(request="GET /x", status=204, type="", answer="")]}
    write(tmp_path / "cassette.yaml", told)
    again = recordings(tmp_path / "cassette.yaml")
    assert (list(again), text_of(again)) == (["a", "b"], text_of(told))
    assert [one.request for one in again["b"]] == [one.request for one in told["b"]]
