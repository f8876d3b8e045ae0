"""Talking in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from llama_index.core.chat_engine.types import BaseChatEngine
from typing_extensions import override

__all__ = ["TerminalChat"]


class TerminalChat(BaseChatEngine):
    """A chat engine that is not reset by talking to it: LlamaIndex resets its own before the first word."""

    @override
    def chat_repl(self) -> None:
        """Talk in the terminal, until `exit` or the end of the input. The conversation goes on: nothing is reset."""
        for said in _lines():
            print(f"Assistant: {self.chat(said)}\n")

    @override
    def streaming_chat_repl(self) -> None:
        """Talk in the terminal and see the answers come. The conversation goes on: nothing is reset."""
        for said in _lines():
            print("Assistant: ", end="", flush=True)
            self.stream_chat(said).print_response_stream()
            print("\n")


def _lines() -> Iterator[str]:
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
