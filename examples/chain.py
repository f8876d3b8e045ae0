"""A chain: `prompt | model | parser`, invoked, streamed and in a batch.

Every call is a conversation of its own; `ephemeral=True` deletes it when the answer is there. `where.py` tells which
server this runs on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from where import an_agent

from langchain_letta import ChatLetta
from letta_adapters.testing import Reply


def show(model: ChatLetta) -> None:
    """Ask the same of three things, in three ways."""
    prompt = ChatPromptTemplate.from_messages([("human", "Explain {thing} in one sentence.")])
    chain = prompt | model | StrOutputParser()

    print("invoke ", chain.invoke({"thing": "a stamp"}))

    print("stream ", end=" ")
    for text in chain.stream({"thing": "an envelope"}):
        print(text, end="", flush=True)
    print()

    for answer in chain.batch([{"thing": "a letter"}, {"thing": "a postcard"}]):
        print("batch  ", answer)


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Play the language model on the double."""
    thing = str(messages[-1]["content"]).removeprefix("Explain ").removesuffix(" in one sentence.")
    return Reply(text=f"It is {thing}, and you get it at a post office.")


def main() -> None:
    """Run it."""
    with an_agent(play_model) as place:
        show(ChatLetta(agent_id=place.agent_id, base_url=place.base_url, ephemeral=True))


if __name__ == "__main__":
    main()
