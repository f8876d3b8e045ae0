"""`prune`: delete conversations that followed mode made and nobody follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import typer

from letta_adapters.cli.following import Verdict, verdict_on
from letta_adapters.cli.options import AgentArgument, AsJson, BaseUrl
from letta_adapters.cli.reporting import Output, connected
from letta_adapters.client import LettaClient
from letta_adapters.client.run_endpoints import list_runs_in_flight
from letta_adapters.creation import SUMMARY_BEGINS, is_made_for_a_transcript
from letta_adapters.wire import Conversation

__all__ = ["prune"]

_NEWEST = 10


def prune(
    agent: AgentArgument,
    delete: Annotated[bool, typer.Option("--delete/--dry-run", help="By default they are listed only.")] = False,
    idle_days: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="How long nothing may have happened in them.")
    ] = 30,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List, or delete, the conversations of an agent that followed mode made and that nobody follows.

    A server does not know who follows a conversation: its id is in transcripts, in checkpoints, in the messages of a
    client. So one is left alone unless all of this is true: its summary is a mark of followed mode, as it was written
    and with nothing added; nothing happened in it for --idle-days; no turn is in flight, no call waits for an answer.
    Conversations without a mark are never touched: those of `LettaChatMessageHistory`, those that were made by hand,
    and those of transcripts without a thread, which nothing tells from the ones made by hand.

    Whoever does go on with a transcript whose conversation was deleted gets a new one, which is told the transcript.
    What only the deleted one had is lost: the agent's thoughts, and what had been taken out of the transcript.
    """
    with connected(base_url, as_json=as_json) as (client, output):
        client.agents.retrieve(agent)
        idle = timedelta(days=idle_days)
        told: list[dict[str, Any]] = []
        for conversation in list(_marked(client, agent)):
            verdict = _look(client, conversation, idle)
            deleted = delete and verdict.unfollowed
            if deleted:
                client.conversations.delete(conversation.id)
            told.append(_told(conversation, verdict, deleted=deleted))
            if not as_json and verdict.unfollowed:
                _show(output, conversation, verdict, deleted=deleted)
        if as_json:
            output.document({"agent_id": agent, "dry_run": not delete, "conversations": told})
        else:
            _sum_up(output, told, delete=delete)


def _marked(client: LettaClient, agent_id: str) -> Iterator[Conversation]:
    """The conversations that followed mode made, oldest first."""
    found = client.conversations.iterate(agent_id=agent_id, summary_search=SUMMARY_BEGINS)
    return (one for one in found if is_made_for_a_transcript(one.summary))


def _look(client: LettaClient, conversation: Conversation, idle: timedelta) -> Verdict:
    """Judge a conversation as it is now; what is listed may be minutes old when its turn comes."""
    runs = client.send(list_runs_in_flight(conversation.id))
    newest = client.conversations.messages.list(conversation.id, order="desc", limit=_NEWEST)
    current = client.conversations.retrieve(conversation.id)
    return verdict_on(current, newest, runs, idle=idle, now=datetime.now(timezone.utc))


def _told(conversation: Conversation, verdict: Verdict, *, deleted: bool) -> dict[str, Any]:
    return {
        "conversation_id": conversation.id,
        "unfollowed": verdict.unfollowed,
        "reason": verdict.reason,
        "last_used": verdict.last_used.isoformat() if verdict.last_used else None,
        "deleted": deleted,
    }


def _show(output: Output, conversation: Conversation, verdict: Verdict, *, deleted: bool) -> None:
    used = verdict.last_used.astimezone().strftime("%Y-%m-%d") if verdict.last_used else "?"
    output.say(f"{'deleted' if deleted else 'unfollowed'}  {conversation.id}  last used {used}")


def _sum_up(output: Output, told: list[dict[str, Any]], *, delete: bool) -> None:
    unfollowed = sum(one["unfollowed"] for one in told)
    kept = Counter(one["reason"] for one in told if not one["unfollowed"])
    why = ", ".join(f"{number} {reason}" for reason, number in kept.items())
    output.say(f"{unfollowed} {'deleted' if delete else 'would be deleted'}, {kept.total()} kept{why and f' ({why})'}.")
    if unfollowed and not delete:
        output.say("Nothing was deleted; --delete does it.")
