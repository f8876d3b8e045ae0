"""An agent of LangChain's with two tools that this program runs, step by step, and a second question to it.

The agent keeps its thread in a checkpointer, and Letta keeps the conversation: of the whole transcript that LangChain
passes with every step, only what is new is sent. `where.py` tells which server this runs on.
"""

# LangChain leaves the type parameters of its agents open.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from where import an_agent

from langchain_letta import ChatLetta, LettaMiddleware
from letta_adapters.testing import Call, Reply


def find_stock(item: str) -> int:
    """Find out how many of an item are there."""
    return {"stamps": 40}.get(item, 0)


def order(item: str, amount: int) -> str:
    """Order more of an item."""
    return f"{amount} {item} come tomorrow"


def show(model: ChatLetta) -> None:
    """Ask twice in one thread."""
    agent: Any = create_agent(
        model, [find_stock, order], middleware=[LettaMiddleware(model)], checkpointer=InMemorySaver()
    )
    thread = {"configurable": {"thread_id": "a"}}
    for question in ("How many stamps are there? Fill them up to 100.", "How many did you order?"):
        print(f"you     {question}")
        for step in agent.stream({"messages": [("user", question)]}, thread, stream_mode="updates"):
            for update in step.values():
                for message in (update or {}).get("messages", ()):
                    tell(message)


def tell(message: BaseMessage) -> None:
    """Print what a step brought."""
    match message:
        case AIMessage():
            for call in message.tool_calls:
                print(f"call    {call['name']} {json.dumps(call['args'])}")
            if message.text:
                print(f"agent   {message.text}")
        case ToolMessage():
            print(f"result  {message.text}")
        case _:
            pass


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Play the language model on the double: it sees what the server kept, and nothing else."""
    results = [json.loads(message["content"])["message"] for message in messages if message["role"] == "tool"]
    if messages[-1]["role"] == "user" and results:
        return Reply(text="I ordered {}.".format(str(results[-1]).partition(" ")[0]))
    if not results:
        return Reply(calls=(Call(name="find_stock", arguments='{"item": "stamps"}'),))
    if str(results[-1]).isdigit():
        arguments = json.dumps({"item": "stamps", "amount": 100 - int(results[-1])})
        return Reply(calls=(Call(name="order", arguments=arguments),))
    return Reply(text=f"There were {results[0]}; {results[-1]}.")


def main() -> None:
    """Run it."""
    with an_agent(play_model) as place:
        show(ChatLetta(agent_id=place.agent_id, base_url=place.base_url))


if __name__ == "__main__":
    main()
