"""Raw httpx calls on a double."""

from __future__ import annotations

import json
from typing import Any

import httpx

Json = dict[str, Any]


def new_conversation(http: httpx.Client, **agent: Any) -> str:
    """Create an agent and a conversation of it."""
    created = http.post("/v1/agents/", json={"name": "tester", **agent}).raise_for_status().json()
    answer = http.post("/v1/conversations/", params={"agent_id": created["id"]}, json={}).raise_for_status()
    return str(answer.json()["id"])


def turn_body(text: str, **options: Any) -> Json:
    return {"messages": [{"role": "user", "content": text}], "stream_tokens": True, **options}


def send(http: httpx.Client, conversation: str, text: str, **options: Any) -> list[Json]:
    """Play a turn and give its frames."""
    answer = http.post(f"/v1/conversations/{conversation}/messages", json=turn_body(text, **options))
    return frames_of(answer.raise_for_status().text)


def frames_of(stream: str) -> list[Json]:
    return [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: {")]


def text_of(frames: list[Json]) -> str:
    return "".join(frame["content"] for frame in frames if frame["message_type"] == "assistant_message")
