"""Every kind of content part, sent as part of a seed: which row a server shows it as, and who may not send it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from letta_adapters import LettaClient
from letta_adapters.errors import InvalidRequest
from letta_adapters.wire import (
    AssistantMessage,
    HiddenReasoningMessage,
    InputPart,
    KnownMessage,
    MessageCreate,
    OmittedReasoningContent,
    ReasoningContent,
    ReasoningMessage,
    RedactedReasoningContent,
    SummarizedReasoningContent,
    SummaryPart,
    TextContent,
    ToolCallContent,
    ToolReturnContent,
    Unknown,
)
from tests.conftest import Backend

SEED = TextContent(text="seed", signature="sig")
REASONING = ReasoningContent(is_native=True, reasoning="hm", signature="sig")
REDACTED = RedactedReasoningContent(data="abc")
OMITTED = OmittedReasoningContent(signature="sig")
SUMMARIZED = SummarizedReasoningContent(
    id="rs_1", summary=[SummaryPart(index=0, text="one"), SummaryPart(index=1, text="two")], encrypted_content="key"
)
CALL = ToolCallContent(id="call_1", name="add", input={"a": 1}, signature="sig")
RETURN = ToolReturnContent(tool_call_id="call_1", content="3", is_error=False)
PARTS: list[InputPart] = [REASONING, REDACTED, OMITTED, SUMMARIZED, CALL, RETURN]


@pytest.fixture
def client(backend: Backend) -> Iterator[LettaClient]:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as made:
        yield made


def seeded(client: LettaClient, conversation_id: str, *parts: InputPart) -> list[KnownMessage | Unknown]:
    """The rows of a seed of these parts."""
    seed = MessageCreate(role="assistant", content=list(parts))
    question = MessageCreate(role="user", content="[[say ok]]")
    assert client.conversations.messages.create(conversation_id, messages=[seed, question]).result().text == "ok"
    rows = client.conversations.messages.list(conversation_id, order="asc")
    return list(rows[1:-2])


def said(row: KnownMessage | Unknown) -> tuple[str | None, ...]:
    match row:
        case AssistantMessage():
            return ("assistant", str(row.content))
        case ReasoningMessage():
            return ("reasoning", row.reasoning, row.signature)
        case HiddenReasoningMessage():
            return ("hidden", row.state, row.hidden_reasoning)
        case _:
            return (row.message_type,)


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (REASONING, [("reasoning", "hm", "sig")]),
        (REDACTED, [("hidden", "redacted", "abc")]),
        (OMITTED, [("hidden", "omitted", None)]),
        (SUMMARIZED, [("reasoning", "one\n\ntwo", "key")]),
        (CALL, []),
        (RETURN, []),
    ],
    ids=[part.type for part in PARTS],
)
def test_a_seed_may_have_every_kind_of_part_and_thoughts_are_rows_of_their_own(
    client: LettaClient, conversation_id: str, part: InputPart, shown: list[tuple[str | None, ...]]
) -> None:
    rows = seeded(client, conversation_id, part, SEED)
    assert [said(row) for row in rows] == [*shown, ("assistant", "seed")]
    assert len({row.id for row in rows if not isinstance(row, Unknown)}) == 1


@pytest.mark.parametrize("part", PARTS, ids=[part.type for part in PARTS])
def test_a_user_says_texts_and_images_alone(client: LettaClient, conversation_id: str, part: InputPart) -> None:
    with pytest.raises(InvalidRequest, match=f"Unsupported content type MessageContentType.{part.type}"):
        client.conversations.messages.create(conversation_id, input=[part, SEED], streaming=False)
