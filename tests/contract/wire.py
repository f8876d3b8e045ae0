"""A second, independent reader of the protocol: plain httpx, no code of the package.

`Wire` makes the calls, `Turn` holds what one call to a stream endpoint answered: the frames in order, as they came.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from tests.conftest import plain_http

Json = dict[str, Any]

TIMEOUT = 60.0
SILENT = ("ping", "response_state", "stop_reason", "usage_statistics", "error_message")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What the server answered to a turn, streamed or not."""

    status: int
    body: Any
    """The JSON body; `None` for a stream."""
    frames: tuple[Json, ...]
    """Every data frame in order, pings too; an error frame as it came."""
    events: tuple[str, ...]
    """The `event:` name of each frame, "" where it has none."""
    done: bool
    """Whether the stream ended with `[DONE]`."""

    @property
    def types(self) -> list[str]:
        """The message types of all frames, but for pings, which come whenever it is slow, and marks of Letta Cloud."""
        told = (frame["message_type"] for frame in self.frames)
        return [message_type for message_type in told if message_type not in ("ping", "response_state")]

    @property
    def parts(self) -> list[Json]:
        """The frames that carry messages or deltas of messages."""
        return [frame for frame in self.frames if frame["message_type"] not in SILENT]

    @property
    def text(self) -> str:
        """The text of all assistant frames, joined."""
        return "".join(frame["content"] for frame in self.of("assistant_message"))

    @property
    def stop_reasons(self) -> list[str]:
        return [frame["stop_reason"] for frame in self.of("stop_reason")]

    @property
    def usage(self) -> Json:
        (usage,) = self.of("usage_statistics")
        return usage

    @property
    def run_id(self) -> str:
        (run_id,) = {frame["run_id"] for frame in self.frames if frame.get("run_id")}
        return run_id

    @property
    def error(self) -> Json:
        (error,) = self.of("error_message")
        return error

    @property
    def call_ids(self) -> list[str]:
        """The ids of the calls that wait for an answer, in order."""
        return [call["tool_call_id"] for frame in self.of("approval_request_message") for call in frame["tool_calls"]]

    @property
    def call_id(self) -> str:
        (call_id,) = self.call_ids
        return call_id

    def of(self, message_type: str) -> list[Json]:
        """The frames of one type, in order."""
        return [frame for frame in self.frames if frame["message_type"] == message_type]


def otid_of(message_id: str, index: int) -> str:
    """The otid that the server gives a part of a message: the message's uuid, its last 7 bits the part's index."""
    number = UUID(message_id.removeprefix("message-")).int
    return str(UUID(int=number & ~0x7F | index))


def id_before(message_id: str) -> str:
    """The id whose uuid is one less."""
    return f"message-{UUID(int=UUID(message_id.removeprefix('message-')).int - 1)}"


def whole_turn(response: httpx.Response) -> Turn:
    """Parse a finished response."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        return Turn(status=response.status_code, body=response.json(), frames=(), events=(), done=False)
    frames: list[Json] = []
    events: list[str] = []
    done = False
    for event, data in _events(response.text):
        assert not done, "nothing follows [DONE]"
        if data == "[DONE]":
            done = True
        else:
            frames.append(json.loads(data))
            events.append(event)
    return Turn(status=response.status_code, body=None, frames=tuple(frames), events=tuple(events), done=done)


def _events(text: str) -> Iterator[tuple[str, str]]:
    """Cut a stream into (event, data): strict, any line that the server is not known to send fails."""
    for block in text.split("\n\n"):
        if not block:
            continue
        *head, data = block.split("\n")
        assert data.startswith("data: "), block
        assert all(line.startswith("event: ") for line in head), block
        yield "".join(line.removeprefix("event: ") for line in head), data.removeprefix("data: ")


class Wire:
    """The calls of the protocol on one server."""

    def __init__(self, base_url: str, *, api_key: str | None = None) -> None:
        self.http = plain_http(base_url, api_key)
        self._tools: list[str] = []
        if api_key:  # somebody's account is left as it was; other servers are thrown away
            self.http.event_hooks["response"].append(self._note_tool)
        self._pool = ThreadPoolExecutor(max_workers=8)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for tool_id in self._tools:
            self.http.delete(f"/v1/tools/{tool_id}")
        self.http.close()

    def _note_tool(self, response: httpx.Response) -> None:
        if (response.request.method, response.request.url.path) == ("POST", "/v1/tools/"):
            self._tools.append(str(json.loads(response.read())["id"]))

    def post(self, conversation: str, *messages: Json, **options: Any) -> Turn:
        """Send a turn and read it to its end."""
        body = {"messages": list(messages), **options}
        return whole_turn(self.http.post(f"/v1/conversations/{conversation}/messages", json=body))

    def post_body(self, conversation: str, body: Json) -> Turn:
        """Send a turn whose body is exactly this."""
        return whole_turn(self.http.post(f"/v1/conversations/{conversation}/messages", json=body))

    def start(self, conversation: str, *messages: Json, **options: Any) -> Future[Turn]:
        """Send a turn from another thread."""
        return self._pool.submit(self.post, conversation, *messages, **options)

    def cut(self, conversation: str, *messages: Json, frames: int, **options: Any) -> list[Json]:
        """Send a turn, read that many frames, hang up."""
        body = {"messages": list(messages), **options}
        return self._first_frames(f"/v1/conversations/{conversation}/messages", body, frames)

    def cut_resume(self, conversation: str, *, frames: int, **body: Any) -> list[Json]:
        """Read that many frames of a run's stream, hang up."""
        return self._first_frames(f"/v1/conversations/{conversation}/stream", body, frames)

    def _first_frames(self, path: str, body: Json, count: int) -> list[Json]:
        seen: list[Json] = []
        with self.http.stream("POST", path, json=body) as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: ")))
                if len(seen) == count:
                    break
        return seen

    def resume(self, conversation: str, **body: Any) -> Turn:
        """Read the stream of a run again."""
        return whole_turn(self.http.post(f"/v1/conversations/{conversation}/stream", json=body))

    def cancel(self, conversation: str, **query: str) -> httpx.Response:
        return self.http.post(f"/v1/conversations/{conversation}/cancel", params=query)

    def rows(self, conversation: str, **query: Any) -> list[Json]:
        """List messages, oldest first unless told otherwise."""
        return self.get(f"/v1/conversations/{conversation}/messages", **{"order": "asc", **query})

    def stored(self, conversation: str, **query: Any) -> list[Json]:
        """List messages, oldest first, without the compiled system message at the head."""
        first, *rest = self.rows(conversation, **query) or [{"message_type": "system_message"}]
        assert first["message_type"] == "system_message"
        return rest

    def story(self, conversation: str, **query: Any) -> list[tuple[str, str]]:
        """The (type, text) of all stored messages but the compiled system message."""
        return [(row["message_type"], _text_of(row)) for row in self.stored(conversation, **query)]

    def conversation(self, conversation: str) -> Json:
        return self.get(f"/v1/conversations/{conversation}")

    def new_conversation(self, agent: str, **body: Any) -> str:
        created = self.http.post("/v1/conversations/", params={"agent_id": agent}, json=body).raise_for_status()
        return str(created.json()["id"])

    def get(self, path: str, **query: Any) -> Any:
        """GET a path that must succeed."""
        return self.http.get(path, params=query).raise_for_status().json()

    def patch_agent(self, agent: str, **body: Any) -> None:
        self.http.patch(f"/v1/agents/{agent}", json=body).raise_for_status()

    def runs(self, conversation: str) -> list[Json]:
        return self.get("/v1/runs/", conversation_id=conversation)

    def ended_run(self, run_id: str) -> Json:
        """A run after its bookkeeping, which the server does behind the end of a background stream."""
        until(lambda: self.get(f"/v1/runs/{run_id}")["completed_at"] is not None)
        return self.get(f"/v1/runs/{run_id}")


def _text_of(row: Json) -> str:
    match row["message_type"]:
        case "reasoning_message":
            return row["reasoning"]
        case "tool_return_message":
            return " | ".join(str(result["tool_return"]) for result in row["tool_returns"])
        case "tool_call_message" | "approval_request_message":
            return " | ".join(call["name"] for call in row["tool_calls"])
        case "approval_response_message":
            return ""
        case _:
            return str(row["content"])


def until(condition: Callable[[], bool]) -> None:
    """Ask again until the server has caught up, where no gate can tell."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the server never got there"
        time.sleep(0.05)
