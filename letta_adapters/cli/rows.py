"""All rows of a conversation, oldest first, with a bar on stderr that tells how far it is."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from letta_adapters.cli.reporting import Output
from letta_adapters.client import LettaClient
from letta_adapters.client.asking import ask
from letta_adapters.client.endpoints import check_conversation_id
from letta_adapters.client.listing import Page, id_of, pages_of
from letta_adapters.matching import Row
from letta_adapters.wire import Unknown

__all__ = ["pages_shown", "raw_of"]


@contextmanager
def pages_shown(
    client: LettaClient, output: Output, conversation_id: str, agent_id: str | None, *, bar: bool
) -> Generator[Iterator[Page], None, None]:
    """Give the pages of a conversation.

    Args:
        client: The server.
        output: Where the bar goes, if that is a terminal.
        conversation_id: The conversation, or `default`.
        agent_id: The agent, for `default`.
        bar: Whether to show one; not where the rows go to the same terminal.

    Raises:
        NotFound: The conversation is not there.
        ValueError: `default` without an agent.
    """
    expected: int | None = None
    if check_conversation_id(conversation_id, agent_id) != "default":
        conversation = client.conversations.retrieve(conversation_id)
        agent_id = conversation.agent_id
        expected = len(conversation.in_context_message_ids)
    assert agent_id is not None, "`default` was checked"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, console=output.err, transient=True, redirect_stdout=False)
    shown = bar and output.err.is_terminal  # rich before 15 ends a bar that nobody sees with an empty line
    with progress if shown else nullcontext():
        told = _Told(progress, progress.add_task("messages", total=expected), expected)
        yield _told_pages(ask(client, pages_of(conversation_id, agent_id)), told)


def raw_of(row: Row) -> Any:
    """A row as the server lists it."""
    return row.raw if isinstance(row, Unknown) else row.model_dump(mode="json", exclude_unset=True)


def _told_pages(pages: Iterator[Page], told: _Told) -> Iterator[Page]:
    for page in pages:
        told.take(page)
        yield page


class _Told:
    """How far a bar is.

    A server counts the messages that the model sees. After a compaction a conversation has more of them, so the end
    moves on with the bar.
    """

    def __init__(self, progress: Progress, task: TaskID, expected: int | None) -> None:
        self._progress = progress
        self._task = task
        self._expected = expected
        self._read = 0

    def take(self, page: Page) -> None:
        """Count the messages of a page; rows of one message are on one page."""
        self._read += len({id_of(row) for row in page.rows})
        total = max(self._expected, self._read) if self._expected is not None else None
        self._progress.update(self._task, completed=self._read, total=total)
