"""The application: every command once. Each has a module of its own, named after it."""

from __future__ import annotations

from typing import Annotated

import typer

from letta_adapters.cli.chat import chat
from letta_adapters.cli.demo import demo
from letta_adapters.cli.doctor import doctor
from letta_adapters.cli.export import export
from letta_adapters.cli.history import history
from letta_adapters.cli.prune import prune
from letta_adapters.cli.settle import settle
from letta_adapters.version import __version__

__all__ = ["app"]

app = typer.Typer(
    name="letta-adapters",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    # A traceback with the values of local variables would show keys.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, doctor, chat, history, export, settle, prune):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Talk to Letta agents, look after their conversations, find out what is wrong.

    The server is LETTA_BASE_URL, else Letta Cloud; its key is LETTA_API_KEY, and is taken from nowhere else.
    """
