"""What a person types."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["lines"]


def lines() -> Iterator[str]:
    """Give what is typed, line by line, until `exit` or the end of the input."""
    print('===== Entering Chat REPL =====\nType "exit" to exit.\n')
    while True:
        try:
            said = input("Human: ")
        except EOFError:
            return
        if said == "exit":
            return
        if said.strip():
            yield said
