"""The requests that one turn makes: to send it, to go on after a loss, to read what became of it. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from letta_adapters.exchange import Request
from letta_adapters.reading import Reading, StoredTurn, messages_path, what_became_of
from letta_adapters.steps import TurnPolicy
from letta_adapters.wire import TurnRequest

__all__ = ["Route", "TurnRequests"]


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a turn goes, if not to the endpoints of its conversation.

    Args:
        send: The path that it is sent to. Nothing dedupes there (measured on 0.16.8), so it is sent once.
        attach: The path of the run's stream.
        options: What is said there beside the run and the number of the last event.
    """

    send: str | None = None
    attach: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class TurnRequests:
    """The requests of one turn.

    Args:
        conversation_id: The conversation, or `default` together with `agent_id`.
        agent_id: The agent, where known.
        request: What the turn sends; `None` where it attaches to a run.
        after: The message that it follows, where that is known.
        attached_to: The run that has the request already, so that nothing is sent.
        route: Where it goes, if not to the endpoints of the conversation.
    """

    conversation_id: str
    agent_id: str | None
    request: TurnRequest | None
    after: str | None = None
    attached_to: str | None = None
    route: Route = field(default_factory=Route)

    @property
    def otids(self) -> tuple[str, ...]:
        """The otids of what is sent."""
        return self.request.otids if self.request else ()

    @property
    def address(self) -> str:
        """Where the turn is sent to, for errors."""
        return self.route.send or messages_path(self.conversation_id)

    def first(self, *, background: bool, run_id: str | None, last_seq: int) -> Request:
        """The turn's own request; its bytes are the same every time."""
        if self.request is None or self.attached_to is not None:
            return self._resume(self.attached_to or run_id, last_seq)
        if self.route.send is not None:
            return Request(method="POST", path=self.route.send, body=self.request.to_json())
        body = self.request.model_copy(update={"background": background})
        return Request(method="POST", path=messages_path(self.conversation_id), body=body.to_json())

    def next(self, *, background: bool, run_id: str | None, last_seq: int) -> Request:
        """The rest of the run where it is known, else the identical request: the server replays it."""
        if run_id is None or last_seq == 0:
            return self.first(background=background, run_id=run_id, last_seq=last_seq)
        return self._resume(run_id, last_seq)

    def cancel(self, run_id: str | None) -> Request | None:
        """Cancel the run, by its id where that can be told: a conversation's own cancel ends whatever is in flight.

        On `default` that would be the runs of all the agent's conversations.
        """
        if run_id is not None and self.agent_id is not None:
            body = json.dumps({"run_ids": [run_id]}).encode()
            return Request(method="POST", path=f"/v1/agents/{self.agent_id}/messages/cancel", body=body)
        if self.conversation_id == "default":
            return None
        return Request(method="POST", path=f"/v1/conversations/{self.conversation_id}/cancel")

    def what_became_of_it(
        self, run_id: str | None, *, sent: bool, at_most: float, policy: TurnPolicy
    ) -> Reading[StoredTurn | None]:
        """Read what the server stored of the turn; see `reading.what_became_of`."""
        return what_became_of(
            self.request.messages or () if self.request else (),
            self.conversation_id,
            self.agent_id,
            run_id=run_id,
            after=self.after,
            sent=sent,
            at_most=at_most,
            idle_timeout=policy.idle_timeout,
            retries=policy.max_retries,
            whole=self.request is not None and not self.request.streaming,
        )

    def _resume(self, run_id: str | None, last_seq: int) -> Request:
        body: dict[str, Any] = {"starting_after": last_seq, **self.route.options}
        if run_id is not None:
            body["run_id"] = run_id
        if self.conversation_id == "default":
            body["agent_id"] = self.agent_id
        path = self.route.attach or f"/v1/conversations/{self.conversation_id}/stream"
        return Request(method="POST", path=path, body=json.dumps(body).encode())
