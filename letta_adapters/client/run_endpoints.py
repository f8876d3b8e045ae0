"""Runs: what the server made of a turn. No I/O."""

from __future__ import annotations

from typing import Literal

from pydantic import TypeAdapter

from letta_adapters.client.calls import Endpoint, check_conversation_id, check_id, get
from letta_adapters.exchange import Query
from letta_adapters.under_way import runs_in_flight
from letta_adapters.wire import KnownMessage, Run, RunUsage, Unknown, parse_messages

__all__ = ["list_newest_runs", "list_run_messages", "list_runs_in_flight", "retrieve_run", "retrieve_run_usage"]

Order = Literal["asc", "desc"]

_RUNS: TypeAdapter[list[Run]] = TypeAdapter(list[Run])


def retrieve_run(run_id: str) -> Endpoint[Run]:
    """Get a run. Its status alone proves nothing: a failed run can be recorded as completed.

    Raises:
        NotFound: There is none of this id.
    """
    return get(f"/v1/runs/{check_id('run_id', run_id, 'run-')}", Run.model_validate_json)


def list_runs_in_flight(conversation_id: str, *, agent_id: str | None = None) -> Endpoint[list[Run]]:
    """List the runs of a conversation that have not ended, newest first, at most 100.

    A run is listed 0.2 to 2.2 seconds after its request (measured on 0.16.8); a server that died leaves its runs in
    flight for ever. The runs of `default` have no conversation, so all of the agent's are listed for it.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        agent_id: The agent, for `default`.
    """
    query = runs_in_flight(check_conversation_id(conversation_id, agent_id), agent_id)
    return get("/v1/runs/", _RUNS.validate_json, query)


def list_newest_runs(conversation_id: str, *, limit: int) -> Endpoint[list[Run]]:
    """List the runs of a conversation, newest first; those of `default` have none."""
    query: Query = {"conversation_id": check_conversation_id(conversation_id, None), "limit": limit, "order": "desc"}
    return get("/v1/runs/", _RUNS.validate_json, query)


def list_run_messages(
    run_id: str,
    *,
    limit: int | None = None,
    after: str | None = None,
    before: str | None = None,
    order: Order | None = None,
    order_by: Literal["created_at"] | None = None,
) -> Endpoint[list[KnownMessage | Unknown]]:
    """Get the messages that a run stored, the input included; oldest first unless `order` says otherwise.

    Args:
        run_id: The run.
        limit: How many stored messages at most; the server's default is 100.
        after: A message id, as in the list of a conversation; one that is not known is not found.
        before: A message id, the other way round.
        order: `desc` for newest first.
        order_by: The time that counts; there is only that of their creation.

    Raises:
        NotFound: There is no run of this id, or no message of that one.
    """
    query: Query = {"limit": limit, "after": after, "before": before, "order": order, "order_by": order_by}
    return get(f"/v1/runs/{check_id('run_id', run_id, 'run-')}/messages", parse_messages, query)


def retrieve_run_usage(run_id: str) -> Endpoint[RunUsage]:
    """Get the tokens of a run, summed over its steps.

    Raises:
        NotFound: There is none of this id.
    """
    return get(f"/v1/runs/{check_id('run_id', run_id, 'run-')}/usage", RunUsage.model_validate_json)
