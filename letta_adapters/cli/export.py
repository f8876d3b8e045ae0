"""`export`: a conversation as a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from letta_adapters.cli.options import AgentOption, AsJson, BaseUrl, ConversationArgument
from letta_adapters.cli.reporting import connected
from letta_adapters.cli.rows import pages_shown, raw_of
from letta_adapters.cli.words import Speaker, said, time_of
from letta_adapters.matching import Row

__all__ = ["export"]

_TITLES: dict[Speaker, str] = {
    "system": "System",
    "user": "User",
    "agent": "Agent",
    "thought": "Thought",
    "call": "Tool call",
    "decision": "Decision",
    "result": "Tool result",
    "note": "Note",
}
_CODE: frozenset[Speaker] = frozenset({"call", "result", "decision"})


def export(
    conversation: ConversationArgument,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One row a line, as the server lists it.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A text to read.")] = False,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="A new file; else stdout.")] = None,
    agent: AgentOption = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write all messages of a conversation, oldest first, to stdout or to a new file.

    A message can be several rows: what was thought, what was said, what was called. A file is there when it is whole,
    and none is written over. With --json, what was written is told as JSON.
    """
    with connected(base_url, as_json=as_json) as (client, output):
        if jsonl == markdown:
            raise ValueError("Say either --jsonl or --markdown.")
        if as_json and to is None:
            raise ValueError("With --json the messages need a file of their own: --to FILE.")
        bar = output.err.is_terminal and (to is not None or not output.out.is_terminal)
        with pages_shown(client, output, conversation, agent, bar=bar) as pages, _opened(to) as file:
            written = _write(file, (row for page in pages for row in page.rows), _line_of if jsonl else _section_of)
        if as_json:
            output.document({"conversation_id": conversation, "file": str(to), "rows": written})
        elif to is not None:
            output.say(f"{written} rows in {to}")


def _write(file: TextIO, rows: Iterable[Row], spelled: Callable[[Row], str]) -> int:
    written = 0
    for row in rows:
        file.write(spelled(row))
        written += 1
    return written


def _line_of(row: Row) -> str:
    return json.dumps(raw_of(row), ensure_ascii=False) + "\n"


def _section_of(row: Row) -> str:
    words = said(row)
    date = time_of(row)
    heading = f"## {_TITLES[words.speaker]}" + (f" · {date.isoformat()}" if date else "")
    return f"{heading}\n\n{_fenced(words.text) if words.speaker in _CODE else words.text}\n\n"


def _fenced(text: str) -> str:
    """A block of code whose fence does not occur in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


@contextmanager
def _opened(path: Path | None) -> Generator[TextIO, None, None]:
    """Stdout, or a file that gets its name when all is written.

    Raises:
        FileExistsError: There is a file of this name.
    """
    if path is None:
        yield sys.stdout
        return
    part = path.with_name(f"{path.name}.part")
    if path.exists():
        raise FileExistsError(f"{path} is there already; name another file, or remove it.")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
