"""Questions about the files of this repository: a local index as a tool of a Letta agent, which remembers them.

`where.py` tells which server and which agent this runs on; `play_model` below plays the language model on the double.
The index needs neither network nor key: its embedding counts words.
Needs the extras `llama-index` and `testing`.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.node_parser import MarkdownNodeParser
from llama_index.core.tools import RetrieverTool
from where import Place, an_agent

from letta_adapters.testing import Call, Reply
from llama_index_letta import LettaChatEngine

ROOT = Path(__file__).parents[1]
FILES = ("README.md", "CONTRIBUTING.md", "docs/planner.md", "docs/reliability.md")
QUESTIONS = ("Which command runs the tests on a real server?", "And what did I ask you first?")

_DIMENSIONS = 512


class WordEmbedding(BaseEmbedding):
    """Counts words: good enough for a few files, and everything stays on this machine."""

    def _embed(self, text: str) -> list[float]:
        counts = [0.0] * _DIMENSIONS
        for word in re.findall(r"[a-z]{4,}", text.lower()):
            counts[zlib.crc32(word.rstrip("s").encode()) % _DIMENSIONS] += 1
        length = math.sqrt(sum(count * count for count in counts)) or 1.0
        return [count / length for count in counts]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._embed(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embed(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._embed(query)


def make_index() -> VectorStoreIndex:
    """An index over the sections of the files."""
    documents = [Document(text=(ROOT / name).read_text(encoding="utf-8"), metadata={"file": name}) for name in FILES]
    return VectorStoreIndex.from_documents(
        documents, embed_model=WordEmbedding(), transformations=[MarkdownNodeParser()]
    )


def show(place: Place) -> None:
    """Ask, and show the answers as they come with the passages that they are made of."""
    tool = RetrieverTool.from_defaults(
        make_index().as_retriever(similarity_top_k=2),
        name="search_docs",
        description="Find passages in the documentation of this project.",
    )
    with LettaChatEngine.from_defaults(tools=[tool], agent_id=place.agent_id, base_url=place.base_url) as engine:
        for question in QUESTIONS:
            print(f"you    {question}")
            response = engine.stream_chat(question)
            print("agent  ", end="")
            response.print_response_stream()
            print()
            for node in response.source_nodes:
                print(f"source {node.metadata['file']} ({node.score or 0:.2f})")


def play_model(messages: Sequence[Mapping[str, Any]]) -> Reply:
    """Look up the first question, answer with what was found; remember it for the second one."""
    asked = [str(message["content"]) for message in messages if message["role"] == "user"]
    if messages[-1]["role"] == "tool":
        found = json.loads(str(messages[-1]["content"]))["message"]
        line = next((line for line in found.splitlines() if "real server" in line), "I found nothing.")
        return Reply(text=f"The documentation says: {line.strip()}")
    if len(asked) > 1:
        return Reply(text=f"You asked: {asked[0]}")
    return Reply(calls=(Call(name="search_docs", arguments=json.dumps({"input": asked[0]})),))


def main() -> None:
    """Run it."""
    with an_agent(play_model) as place:
        show(place)


if __name__ == "__main__":
    main()
