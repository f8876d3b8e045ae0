"""`history`: what was said in a conversation."""

from __future__ import annotations

from rich.text import Text

from letta_adapters.cli.options import AgentOption, AsJson, BaseUrl, ConversationArgument
from letta_adapters.cli.reporting import Output, connected, plain
from letta_adapters.cli.rows import pages_shown, raw_of
from letta_adapters.cli.words import STYLES, said, time_of
from letta_adapters.matching import Row

__all__ = ["history"]

_TIME = "%Y-%m-%d %H:%M"
_INDENT = "\n" + " " * 27


def history(
    conversation: ConversationArgument,
    agent: AgentOption = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show all messages of a conversation, oldest first, those that a compaction took out of its context too.

    Times are local. With --json, one array of the messages as the server lists them.
    """
    with connected(base_url, as_json=as_json) as (client, output):
        bar = output.err.is_terminal and not output.out.is_terminal
        with pages_shown(client, output, conversation, agent, bar=bar) as pages:
            if as_json:
                output.document([raw_of(row) for page in pages for row in page.rows])
                return
            for page in pages:
                for row in page.rows:
                    _show(output, row)


def _show(output: Output, row: Row) -> None:
    words = said(row)
    date = time_of(row)
    when = date.astimezone().strftime(_TIME) if date else " " * 16
    text = plain(words.text).replace("\n", _INDENT)
    line = Text.assemble((f"{when}  ", "dim"), (f"{words.speaker:<9}", STYLES[words.speaker]), text)
    output.out.print(line, soft_wrap=True)
