"""The client on Letta Cloud: keys, quotas, deployments, lists, forks."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from letta_adapters import AsyncLettaClient, LettaClient, errors
from letta_adapters.client.listing import id_of
from letta_adapters.testing import FakeLetta
from letta_adapters.testing.cloud import EDGE_TIMEOUT, NO_CREDITS, Refusal, over_quota, shutting_down
from letta_adapters.wire import ClientTool, Unknown, UserMessage
from tests.contract.wire import Wire

AT_ONCE = {"Retry-After": "0"}
DEPLOYED = shutting_down(retry_after=0)
EDGE = replace(EDGE_TIMEOUT, headers=AT_ONCE)
TOO_MANY = replace(over_quota("requests"), headers=AT_ONCE)
"""A limit of requests a minute: its reason is none of those that last."""


def sent(fake: FakeLetta, ending: str) -> int:
    """How often something was posted to a path that ends so."""
    return sum(request.method == "POST" and request.path.endswith(ending) for request in fake.requests)


def said(witness: Wire, conversation_id: str) -> list[str]:
    """What the user said, as it is stored."""
    return [row["content"] for row in witness.stored(conversation_id) if row["message_type"] == "user_message"]


@pytest.mark.parametrize("key", [None, "sk-let-0000000000000000"])
def test_without_the_right_key_nothing_is_answered(cloud: FakeLetta, key: str | None) -> None:
    with (
        LettaClient(base_url=cloud.base_url, api_key=key) as client,
        pytest.raises(errors.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.detail == "The API key is missing, or it is none of this server's."
    assert "sk-let" not in str(caught.value)
    assert len(cloud.requests) == 1


@pytest.mark.parametrize(
    ("refusal", "reasons", "resets_in"),
    [
        (over_quota("premium-usage-exceeded"), ("premium-usage-exceeded",), None),
        (over_quota(resets_in=90.0), ("exceeded-quota",), 90.0),
        (NO_CREDITS, ("not-enough-credits",), None),
    ],
)
def test_a_turn_over_quota_is_asked_for_once(
    cloud: FakeLetta,
    client: LettaClient,
    witness: Wire,
    conversation_id: str,
    refusal: Refusal,
    reasons: tuple[str, ...],
    resets_in: float | None,
) -> None:
    cloud.refuse(refusal)
    with pytest.raises(errors.QuotaExceeded) as caught:
        client.conversations.messages.create(conversation_id, input="hello").result()
    error = caught.value
    assert (error.reasons, error.resets_in, error.accepted) == (reasons, resets_in, False)
    assert error.conversation_id == conversation_id
    assert sent(cloud, "/messages") == 1
    assert said(witness, conversation_id) == []


def test_an_agent_over_quota_is_asked_for_once(cloud: FakeLetta, client: LettaClient) -> None:
    cloud.refuse(replace(over_quota("agents-limit-exceeded"), turns_only=False))
    with pytest.raises(errors.QuotaExceeded, match="agents-limit-exceeded"):
        client.agents.create(name="one too many")
    assert sent(cloud, "/agents/") == 1


def test_too_many_requests_at_once_are_made_again(
    cloud: FakeLetta, client: LettaClient, witness: Wire, conversation_id: str
) -> None:
    cloud.refuse(TOO_MANY, times=2)
    turn = client.conversations.messages.create(conversation_id, input="[[say hello]]").result()
    assert turn.text == "hello"
    assert said(witness, conversation_id) == ["[[say hello]]"]


@pytest.mark.parametrize("background", [True, False])
def test_a_deployment_is_waited_for_and_the_turn_is_stored_once(
    cloud: FakeLetta, client: LettaClient, witness: Wire, conversation_id: str, background: bool
) -> None:
    cloud.refuse(DEPLOYED, times=3)
    stream = client.conversations.messages.create(conversation_id, input="[[say hello]]", background=background)
    assert stream.result().text == "hello"
    assert sent(cloud, "/messages") == 4
    assert said(witness, conversation_id) == ["[[say hello]]"]


async def test_tasks_wait_for_a_deployment_too(cloud: FakeLetta, witness: Wire, conversation_id: str) -> None:
    cloud.refuse(DEPLOYED, times=2)
    async with AsyncLettaClient(base_url=cloud.base_url, api_key=cloud.api_key) as client:
        turn = await client.conversations.messages.create(conversation_id, input="[[say hello]]").result()
    assert turn.text == "hello"
    assert said(witness, conversation_id) == ["[[say hello]]"]


def test_a_deployment_that_lasts_is_an_error_of_what_was_not_taken(
    cloud: FakeLetta, witness: Wire, conversation_id: str
) -> None:
    cloud.refuse(DEPLOYED, times=9)
    with (
        LettaClient(base_url=cloud.base_url, api_key=cloud.api_key, max_retries=2) as client,
        pytest.raises(errors.ServerError) as caught,
    ):
        client.conversations.messages.create(conversation_id, input="hello").result()
    assert (caught.value.status, caught.value.accepted) == (503, False)
    assert sent(cloud, "/messages") == 3


def test_what_must_not_be_made_twice_is_made_once_behind_a_deployment(
    cloud: FakeLetta, client: LettaClient, agent_id: str
) -> None:
    cloud.refuse(DEPLOYED, times=2)
    made = client.conversations.create(agent_id=agent_id)
    assert sent(cloud, "/conversations/") == 3
    assert [one.id for one in client.conversations.list(agent_id=agent_id)] == [made.id]


def test_an_edge_that_gives_up_does_not_repeat_a_turn(
    cloud: FakeLetta, client: LettaClient, witness: Wire, conversation_id: str
) -> None:
    cloud.refuse(EDGE)
    assert client.conversations.messages.create(conversation_id, input="[[say hello]]").result().text == "hello"
    first, second = (request.body for request in cloud.requests if request.path.endswith(f"{conversation_id}/messages"))
    assert first == second
    assert said(witness, conversation_id) == ["[[say hello]]"]


def test_an_edge_that_gives_up_on_a_turn_in_the_foreground_is_looked_into(
    cloud: FakeLetta, client: LettaClient, witness: Wire, conversation_id: str
) -> None:
    cloud.refuse(EDGE)
    with pytest.raises(errors.ServerError) as caught:
        client.conversations.messages.create(conversation_id, input="hello", background=False).result()
    assert (caught.value.status, caught.value.accepted) == (524, None)
    assert sent(cloud, "/messages") == 1
    assert said(witness, conversation_id) == []


def test_lists_are_read_to_their_end(client: LettaClient, agent_id: str, conversation_id: str) -> None:
    for number in range(5):
        client.conversations.messages.create(conversation_id, input=f"[[say {number}]]").result()
    listed = client.conversations.messages.iterate(conversation_id, agent_id=agent_id, page_size=3)
    rows = [row for row in listed if not isinstance(row, Unknown)]
    assert [row.content for row in rows if isinstance(row, UserMessage)] == [f"[[say {n}]]" for n in range(5)]
    assert len({row.id for row in rows}) == len(rows) == 11


def test_a_list_goes_on_in_the_order_that_is_asked_for(client: LettaClient, conversation_id: str) -> None:
    for number in range(3):
        client.conversations.messages.create(conversation_id, input=f"[[say {number}]]").result()
    newest = client.conversations.messages.list(conversation_id, order="desc", limit=2)
    older = client.conversations.messages.list(conversation_id, order="desc", after=id_of(newest[-1]), limit=2)
    assert [row.content for row in [*newest, *older] if isinstance(row, UserMessage)] == ["[[say 2]]", "[[say 1]]"]


def test_all_conversations_are_read_but_those_that_are_hidden_or_put_away(client: LettaClient, agent_id: str) -> None:
    made = [client.conversations.create(agent_id=agent_id, description=f"number {n}").id for n in range(4)]
    client.conversations.create(agent_id=agent_id, hidden=True)
    away = client.conversations.update(made[1], archived=True, context_window_limit=8000)
    assert (away.archived, away.context_window_limit, away.description) == (True, 8000, "number 1")
    assert away.archived_at is not None
    assert away.in_context_message_ids == []
    listed = [one.id for one in client.conversations.iterate(agent_id=agent_id, page_size=2)]
    assert listed == [made[0], *made[2:]]
    archived = client.conversations.list(agent_id=agent_id, archive_status="archived")
    assert [one.id for one in archived] == made[1:2]


def test_a_call_waits_without_a_word_of_the_mark_behind_it(
    client: LettaClient, conversation_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="letta_adapters"):
        turn = client.conversations.messages.create(
            conversation_id, input="[[call add {}]]", client_tools=[ClientTool(name="add", parameters={})]
        ).result()
    assert turn.stop_reason == "requires_approval"
    assert [type(part).__name__ for part in turn.parts] == ["PendingCall"]
    assert "response_state" not in caplog.text
