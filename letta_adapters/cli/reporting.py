"""What commands write, where, and how they end: answers on stdout, errors and progress on stderr, an exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from letta_adapters.client import LettaClient
from letta_adapters.errors import AuthenticationError, ConnectFailed, LettaError, NotFound, PermissionDenied

__all__ = ["ExitCode", "Output", "code_of", "connected", "plain", "reporting"]

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    NOT_THERE = 5
    INTERRUPTED = 130


def plain(text: str) -> str:
    """A text that a terminal only shows: what an agent says may hold codes that move the cursor or change colours."""
    return _CONTROLS.sub("�", text.replace("\r\n", "\n"))


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a command writes.

    Args:
        as_json: Whether stdout is for programs.
    """

    as_json: bool = False
    out: Console = field(default_factory=lambda: Console(highlight=False))
    err: Console = field(default_factory=lambda: Console(highlight=False, stderr=True))

    def say(self, text: str, style: str = "", *, end: str = "\n") -> None:
        """Write a text for people to stdout, as it is."""
        self.out.print(Text(plain(text), style=style), end=end, soft_wrap=True)

    def note(self, text: str) -> None:
        """Write a remark for people to stderr."""
        self.err.print(Text(plain(text), style="yellow"), soft_wrap=True)

    def document(self, value: Any) -> None:
        """Write one line of JSON to stdout."""
        typer.echo(json.dumps(value))

    def error(self, error: Exception) -> None:
        """Write an error to stderr."""
        if self.as_json:
            typer.echo(json.dumps({"error": _described(error)}), err=True)
        else:
            self.err.print(Text(plain(f"{type(error).__name__}: {error}"), style="red"), soft_wrap=True)


@contextmanager
def reporting(*, as_json: bool = False) -> Generator[Output, None, None]:
    """Give what to write with; an error inside is told in one line, and its kind is the exit code."""
    output = Output(as_json=as_json)
    try:
        yield output
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        raise  # whoever read has enough; the application ends without a word
    except (LettaError, ValueError, OSError) as error:
        output.error(error)
        raise typer.Exit(code_of(error)) from None


@contextmanager
def connected(base_url: str | None, *, as_json: bool = False) -> Generator[tuple[LettaClient, Output], None, None]:
    """Give a client of the server and what to write with; errors are told as in `reporting`."""
    with reporting(as_json=as_json) as output, LettaClient(base_url=base_url) as client:
        yield client, output


def code_of(error: Exception) -> ExitCode:
    """The exit code for an error."""
    match error:
        case ConnectFailed():
            return ExitCode.UNREACHABLE
        case AuthenticationError() | PermissionDenied():
            return ExitCode.REFUSED
        case NotFound():
            return ExitCode.NOT_THERE
        case LettaError() | OSError():
            return ExitCode.FAILED
        case _:
            return ExitCode.USAGE


def _described(error: Exception) -> dict[str, Any]:
    known = ("hint", "detail", "agent_id", "conversation_id", "run_id")
    described = {"type": type(error).__name__, "message": str(getattr(error, "message", error))}
    return described | {name: value for name in known if (value := getattr(error, name, None)) is not None}
