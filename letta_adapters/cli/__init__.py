"""`letta-adapters`, the command line. It needs the extra `cli`; nothing else of the package imports it."""

from __future__ import annotations

import sys

__all__ = ["main"]

_NEEDED = ("rich", "typer")


def main() -> int:
    """Run the command line, as `letta-adapters` does; gives the exit code where the extra is missing."""
    try:
        from letta_adapters.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write("The command line needs typer and rich: pip install 'letta-adapters[cli]'\n")
        return 1
    app()
    return 0
