"""What `doctor` looks at, one check after the other, and what is to be done about each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast
from uuid import uuid4

from letta_adapters.cli.reporting import ExitCode, code_of
from letta_adapters.client import LettaClient
from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.settings import CLOUD_URL, Settings
from letta_adapters.client.transport import HTTPTransport
from letta_adapters.errors import InvalidRequest, LettaError, NotFound, ProtocolError, ServerError
from letta_adapters.exchange import Broken, Request
from letta_adapters.redaction import redact
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import Agent

__all__ = ["Finding", "Status", "examine"]

_TESTED = "0.16.8"
_TAKES_CLIENT_TOOLS = "letta_v1_agent"
_PATIENCE = 15.0
_MAX_SKEW = timedelta(minutes=1)
_CONVERSATIONS = 20
_NEWEST = 10
_CORRECT = {
    "url": "Correct `--base-url` (or LETTA_BASE_URL).",
    "key": "Correct LETTA_API_KEY.",
    "agent": "Correct the id.",
}
_IS_IT_LETTA = "Check that LETTA_BASE_URL is a Letta server and not something in front of it."

Status = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What came of one check.

    Args:
        name: What was looked at.
        status: `fail` where nothing will work, `warn` where something will not.
        found: What was found.
        remedy: What to do about it; empty where nothing is to be done.
        code: The exit code that it stands for.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""
    code: ExitCode = ExitCode.DONE


@dataclass(frozen=True, kw_only=True)
class _Health:
    """What a server says of itself, and its time and ours when it said so."""

    status: int
    version: str | None
    its_time: datetime | None
    our_time: datetime


def examine(base_url: str | None, agent_id: str | None) -> Iterator[Finding]:
    """Look at one thing after the other, and stop where the next ones could only fail as well."""
    without_key = {name: value for name, value in os.environ.items() if name != "LETTA_API_KEY"}
    try:
        yield _url(Settings.resolve(base_url, environ=without_key))
    except ValueError as error:
        yield _failed("url", error)
        return
    try:
        settings = Settings.resolve(base_url)
        settings.check_key()
    except (LettaError, ValueError) as error:
        yield _failed("key", error)
        return
    try:
        health = _ask_health(settings)
    except LettaError as error:
        yield _failed("server", error)
        return
    yield _version(health, settings)
    yield _clock(health)
    with LettaClient(base_url=settings.base_url, api_key=settings.api_key, timeout=_PATIENCE, max_retries=1) as client:
        key = _key(client, settings)
        yield key
        if key.status == "fail":
            return
        yield _background(client)
        yield from _agent(client, agent_id)


def _failed(name: str, error: Exception) -> Finding:
    if not isinstance(error, LettaError):
        return Finding(name=name, status="fail", found=str(error), remedy=_CORRECT[name], code=code_of(error))
    if isinstance(error, InvalidRequest):
        remedy = _CORRECT["agent"] if name == "agent" else _IS_IT_LETTA
    else:
        remedy = "Look at the server's own log."
    return Finding(name=name, status="fail", found=error.told, remedy=error.hint or remedy, code=code_of(error))


def _url(settings: Settings) -> Finding:
    if settings.base_url == CLOUD_URL:
        found = f"{CLOUD_URL}, Letta Cloud; LETTA_BASE_URL names a server of your own."
        return Finding(name="url", status="ok", found=found)
    return Finding(name="url", status="ok", found=settings.base_url)


def _ask_health(settings: Settings) -> _Health:
    """Ask once: whoever waits for a diagnosis does not want retries."""
    transport = HTTPTransport(settings)
    try:
        response = transport.open(Request(method="GET", path="/v1/health/"), idle_timeout=_PATIENCE)
        body = b""
        while chunk := response.read(_PATIENCE):
            body += chunk
        now = datetime.now(timezone.utc)
    except Broken as broken:
        raise broken.to_error() from None
    finally:
        transport.close()
    its_time = _time_of(response.headers.get("date"))
    return _Health(status=response.status, version=_version_in(body), its_time=its_time, our_time=now)


def _version_in(body: bytes) -> str | None:
    try:
        told: Any = json.loads(body)
    except ValueError:
        return None
    version = cast("dict[str, Any]", told).get("version") if isinstance(told, dict) else None
    return version if isinstance(version, str) else None


def _time_of(header: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=timezone.utc)


def _version(health: _Health, settings: Settings) -> Finding:
    if health.version == _TESTED:
        return Finding(name="server", status="ok", found=f"Letta {_TESTED}, which this package is tested with.")
    if settings.base_url == CLOUD_URL:
        found = "Letta Cloud answers. This package was tested with a double of it only."
        return Finding(name="server", status="ok", found=found)
    if health.version:
        return Finding(
            name="server",
            status="warn",
            found=f"Letta {redact(health.version)[:40]}, which this package was not tested with.",
            remedy=f"If something goes wrong, try Letta {_TESTED}.",
        )
    return Finding(
        name="server",
        status="warn",
        found=f"It answers (HTTP {health.status}), but does not tell its version.",
        remedy=_IS_IT_LETTA,
    )


def _clock(health: _Health) -> Finding:
    if health.its_time is None:
        remedy = "Nothing: the server does not tell its time."
        return Finding(name="clock", status="skipped", found="not compared", remedy=remedy)
    skew = health.our_time - health.its_time
    if abs(skew) <= _MAX_SKEW:
        return Finding(name="clock", status="ok", found="It shows the server's time.")
    return Finding(
        name="clock",
        status="warn",
        found=f"This machine is {abs(skew.total_seconds()):.0f} s {'ahead of' if skew > timedelta() else 'behind'} "
        "the server.",
        remedy="Set the clock, or `prune` and the waiting for turns in flight count ages wrong.",
    )


def _key(client: LettaClient, settings: Settings) -> Finding:
    try:
        client.models.list()
    except LettaError as error:
        return _failed("key", error)
    if settings.api_key is None:
        return Finding(name="key", status="ok", found="LETTA_API_KEY is not set, and the server wants none.")
    return Finding(name="key", status="ok", found="LETTA_API_KEY is set, and the server takes it.")


def _background(client: LettaClient) -> Finding:
    """Ask for a run that nobody made: a server without background streams refuses before it looks (measured)."""
    path = f"/v1/conversations/conv-{uuid4()}/stream"
    body = json.dumps({"run_id": f"run-{uuid4()}"}).encode()
    request = Request(method="POST", path=path, body=body)
    try:
        client.send(Endpoint(request=request, read=lambda answer: answer, repeatable=False))
    except NotFound:
        return Finding(name="background", status="ok", found="Background streams: a turn that is cut off is resumed.")
    except ServerError as error:
        if error.status == 503 and "redis" in (error.detail or "").lower():
            return Finding(
                name="background",
                status="warn",
                found="No background streams: a turn that is cut off is read back, where it left a trace.",
                remedy="Give the server a Redis (LETTA_REDIS_HOST).",
            )
        return _unclear(error)
    except LettaError as error:
        return _unclear(error)
    return _unclear(ProtocolError("A run that nobody made was found."))


def _unclear(error: LettaError) -> Finding:
    return Finding(
        name="background",
        status="skipped",
        found=f"It could not be told whether there are background streams. {error.message}",
        remedy="Nothing: it is found out with the first turn.",
    )


def _agent(client: LettaClient, agent_id: str | None) -> Iterator[Finding]:
    if agent_id is None:
        remedy = "Name one: `letta-adapters doctor AGENT`, or LETTA_AGENT_ID."
        yield Finding(name="agent", status="skipped", found="No agent was named.", remedy=remedy)
        return
    try:
        agent = client.agents.retrieve(agent_id)
    except (LettaError, ValueError) as error:
        yield _failed("agent", error)
        return
    yield _agent_type(agent)
    try:
        yield _pending(client, agent.id)
    except LettaError as error:
        yield _failed("pending", error)


def _agent_type(agent: Agent) -> Finding:
    if agent.agent_type in (None, _TAKES_CLIENT_TOOLS):
        return Finding(name="agent", status="ok", found=f"{agent.name!r}, which takes client tools.")
    return Finding(
        name="agent",
        status="warn",
        found=f"{agent.name!r} is a {agent.agent_type}, which is not offered the tools of your program.",
        remedy=f"Create one with `agent_type={_TAKES_CLIENT_TOOLS!r}`, the default of `client.agents.create`.",
    )


def _pending(client: LettaClient, agent_id: str) -> Finding:
    """Look for calls that wait in the agent's default conversation and in its newest ones."""
    newest = client.conversations.list(agent_id=agent_id, limit=_CONVERSATIONS)
    waiting: dict[str, list[str]] = {}
    for conversation_id in ("default", *(conversation.id for conversation in newest)):
        rows = client.conversations.messages.list(conversation_id, agent_id=agent_id, order="desc", limit=_NEWEST)
        if calls := waiting_calls(newest_first(rows)):
            waiting[conversation_id] = [call.name or "" for call in calls]
    if not waiting:
        found = f"No call waits, in its default conversation and its {len(newest)} newest."
        return Finding(name="pending", status="ok", found=found)
    first = next(iter(waiting))
    option = f" --agent {agent_id}" if first == "default" else ""
    return Finding(
        name="pending",
        status="warn",
        found="Calls wait: " + "; ".join(f"{', '.join(names)} in {where}" for where, names in waiting.items()) + ".",
        remedy=f"Answer them where they were made, or deny them: `letta-adapters settle {first}{option}`.",
    )
