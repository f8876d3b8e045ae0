"""The cassettes themselves: complete, the only source of a replay, and free of the machine that recorded them."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from tests.conftest import Backend
from tests.contract.build import user
from tests.contract.wire import Wire
from tests.recorded.conftest import cassette_of, replay
from tests.recorded.scenarios import SCENARIOS
from tests.recorded.stage import Scenario
from tests.recorded.tape import BASE_URL, CASSETTES, NotRecorded, recording, replaying

MAX_BYTES = 40_000

TRACES = {
    "loopback": r"127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[?::1\]|localhost",
    "credentials": r"authorization|bearer|api[-_ ]?key|cookie|password|secret",
    # Two parts of a path at least: a lone slash is punctuation, and `/v1/…` is the API.
    "paths": r"(?<![\w.:/])/(?!v1/)[\w.-]+/[\w./-]+|\b[a-z]:\\|site-packages|\.venv|\.py\b",
    "addresses": r"\w+://(?!letta\.invalid/)",
}
"""What would give away the machine that recorded a cassette."""


def traces(path: Path, kind: str) -> list[str]:
    return re.findall(TRACES[kind], path.read_text(encoding="utf-8"), re.IGNORECASE)


def test_every_scenario_has_a_cassette(scenario: Scenario) -> None:
    assert cassette_of(scenario).is_file()


def test_every_cassette_has_a_scenario() -> None:
    assert {path.name for path in CASSETTES.iterdir()} <= {cassette_of(scenario).name for scenario in SCENARIOS}


def test_the_names_of_scenarios_differ() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("kind", TRACES)
def test_a_cassette_has_nothing_of_the_machine(scenario: Scenario, kind: str) -> None:
    assert traces(cassette_of(scenario), kind) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("loopback", "on 127.0.0.1:47421"),
        ("credentials", "Authorization: x"),
        ("paths", 'File "/home/me/agent", line 1'),
        ("paths", r"C:\Users"),
        ("paths", "in lib/agent.py"),
        ("addresses", "http://box.example/v1/runs"),
    ],
)
def test_a_trace_of_the_machine_would_be_found(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "cassette.yaml"
    path.write_text(text, encoding="utf-8")
    assert traces(path, kind)


def test_a_cassette_is_small_and_readable(scenario: Scenario) -> None:
    text = cassette_of(scenario).read_text(encoding="utf-8")
    assert len(text.encode()) < MAX_BYTES
    assert "!!binary" not in text
    assert re.findall(r"^ +(?:string|body): [\"']", text, re.MULTILINE) == []


def test_a_missing_cassette_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make record"):
        replay(SCENARIOS[0], tmp_path / "missing.yaml")


def test_a_request_that_was_not_recorded_is_an_error(scenario: Scenario) -> None:
    with replaying(cassette_of(scenario)), Wire(BASE_URL) as wire, pytest.raises(NotRecorded):
        wire.get("/v1/health/")


def test_a_failure_while_recording_leaves_the_cassette_alone(tmp_path: Path) -> None:
    path = tmp_path / "cassette.yaml"
    path.write_text("as it was", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), recording(path, tmp_path / "draft.yaml"):
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "as it was"


def test_a_recording_hides_the_server_and_is_replayed(backend: Backend, tmp_path: Path) -> None:
    path, request = tmp_path / "cassette.yaml", "/v1/conversations/conv-00000000-0000-4000-8000-000000000000/messages"
    body = {"messages": [user("naïve 🙂")]}
    with httpx.Client(base_url=backend.base_url, headers={"authorization": "Bearer x"}) as http:
        with recording(path, tmp_path / "draft.yaml"):
            http.post(request, json=body)
        with recording(path, tmp_path / "draft.yaml"):
            answered = http.post(request, json=body)
    assert [traces(path, kind) for kind in TRACES] == [[]] * len(TRACES)
    assert path.read_text(encoding="utf-8").count("naïve 🙂") == 1
    with replaying(path), httpx.Client(base_url=BASE_URL) as http:
        replayed = http.post(request, json=body)
        with pytest.raises(NotRecorded):
            http.post(request, json=body)
    assert (replayed.status_code, replayed.json()) == (answered.status_code, answered.json())
