"""A LangGraph graph with its threads in a SQLite file: many at once, and each goes on after a restart.

One model object serves all threads; each has a conversation of its own, which the checkpoints name. The second half
opens the file anew and makes a new model, as another process would. `where.py` tells which server this runs on.
"""

# LangGraph leaves the type parameters of its graphs open.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from where import Place, an_agent

from langchain_letta import ChatLetta
from letta_adapters.testing import Reply

NAMES = ("Ann", "Bo", "Cem", "Dana", "Eli", "Fay")


def ask_everybody(place: Place, file: Path, question: str) -> list[tuple[str, str]]:
    """Ask in all threads at once; gives each answer and its conversation."""
    model = ChatLetta(agent_id=place.agent_id, base_url=place.base_url)

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    with closing(sqlite3.connect(file, check_same_thread=False)) as connection:
        graph: Any = builder.compile(checkpointer=SqliteSaver(connection))

        def ask(name: str) -> tuple[str, str]:
            thread = {"configurable": {"thread_id": name}}
            last = graph.invoke({"messages": [("user", question.format(name=name))]}, thread)["messages"][-1]
            return last.text, last.response_metadata["letta"]["conversation_id"]

        with ThreadPoolExecutor(len(NAMES)) as pool:
            return list(pool.map(ask, NAMES))


def show(place: Place, file: Path) -> None:
    """Let everybody say their name, then ask for it."""
    before = ask_everybody(place, file, "I am {name}.")
    after = ask_everybody(place, file, "What is my name?")
    for (greeting, _), (answer, _) in zip(before, after, strict=True):
        print(f"{greeting:<12} {answer}")
    same = [one for _, one in before] == [one for _, one in after]
    print(f"{len({one for _, one in after})} conversations, the same after the restart: {same}")


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Play the language model on the double: it sees what the server kept, and nothing else."""
    heard = re.findall(r"I am (\w+)\.", " ".join(str(message["content"]) for message in messages))
    if "What is my name" in str(messages[-1]["content"]):
        return Reply(text=f"You are {' and '.join(heard)}.")
    return Reply(text=f"Hello {heard[-1]}!")


def main() -> None:
    """Run it."""
    with an_agent(play_model) as place, TemporaryDirectory() as folder:
        show(place, Path(folder) / "threads.db")


if __name__ == "__main__":
    main()
