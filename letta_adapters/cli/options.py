"""The arguments and options that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AgentArgument", "AgentOption", "AsJson", "BaseUrl", "ConversationArgument"]

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", envvar="LETTA_AGENT_ID", help="The agent's id.")]

ConversationArgument = Annotated[
    str, typer.Argument(metavar="CONVERSATION", help="The conversation's id, or `default` with --agent.")
]

AgentOption = Annotated[
    str | None,
    typer.Option("--agent", metavar="AGENT", envvar="LETTA_AGENT_ID", help="Its agent, for `default`."),
]

BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", envvar="LETTA_BASE_URL", help="The server's address.")
]

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, and an error as JSON to stderr.")]
