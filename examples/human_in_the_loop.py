"""A person decides before anything is done: on a tool of this program, and on one that the server runs itself.

Both are a LangGraph `interrupt`: the agent stops, its thread waits in the checkpointer, and goes on when somebody has
decided, in this process or another. `refund` is run here, and LangChain's `HumanInTheLoopMiddleware` asks about it;
`cancel_order` is run by the server once a person agrees, and `AskAboutServerTools` below asks about that.

With `LETTA_BASE_URL` (a server of your own) set it runs there, on a new agent with the model `LETTA_MODEL`; what it
creates it deletes. Otherwise it runs on the embedded double of a server, where `play_model` plays the language model.
"""

# LangChain leaves the type parameters of its agents open.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import inspect
import json
import os
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, AgentState, HumanInTheLoopMiddleware, hook_config
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt

from langchain_letta import ChatLetta, approval_requests, approval_result
from letta_adapters import LettaClient
from letta_adapters.testing import Call, FakeLetta, Reply


def refund(order: str, euros: int) -> str:
    """Refund an order."""
    return f"{euros} euros for {order} are on their way"


def cancel_order(order: str) -> str:
    """Cancel an order.

    Args:
        order (str): The number of the order.
    """
    return f"{order} is cancelled"


class AskAboutServerTools(AgentMiddleware[AgentState[Any], Any, Any]):
    """Asks a person about the calls that the server runs once somebody agrees."""

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Stop for the decisions; the answer to the interrupt is one for each call, in order."""
        answer = next(message for message in reversed(state["messages"]) if isinstance(message, AIMessage))
        requests = approval_requests(answer)
        if not requests:
            return None
        decisions = interrupt({"approval_requests": requests})
        told = [
            approval_result(request["tool_call_id"], **decision)
            for request, decision in zip(requests, decisions, strict=True)
        ]
        # Calls of this program's tools are run first; what they give goes to the server with the decisions.
        return {"messages": told} if answer.tool_calls else {"messages": told, "jump_to": "model"}


def ask(agent: Any, thread: str, text: str, *, refused: str | None = None) -> None:
    """Ask the agent, and decide on whatever it stops for: to approve, or to refuse with a reason."""
    print(f"you     {text}")
    config = {"configurable": {"thread_id": thread}}
    result = agent.invoke({"messages": [{"role": "user", "content": text}]}, config)
    while stops := result.get("__interrupt__"):
        result = agent.invoke(Command(resume=decisions_on(stops[0].value, refused=refused)), config)
    print(f"agent   {result['messages'][-1].text}")


def decisions_on(stopped: dict[str, Any], *, refused: str | None) -> Any:
    """Say what a person decided, as whoever asks wants to hear it."""
    if "action_requests" in stopped:  # a tool of this program
        decision = {"type": "approve"} if refused is None else {"type": "reject", "message": refused}
        for action in stopped["action_requests"]:
            print(f"asked   {action['name']} {action['args']}: {decision['type']}")
        return {"decisions": [decision for _ in stopped["action_requests"]]}
    verdict = {"approve": True} if refused is None else {"approve": False, "reason": refused}
    for request in stopped["approval_requests"]:
        print(f"asked   {request['name']} {request['args']}: {'approve' if refused is None else 'deny'}")
    return [verdict for _ in stopped["approval_requests"]]


def show(model: ChatLetta) -> None:
    """Decide on each kind, once this way and once that way."""
    review = HumanInTheLoopMiddleware(interrupt_on={"refund": True})
    agent = create_agent(model, [refund], middleware=[review, AskAboutServerTools()], checkpointer=InMemorySaver())

    ask(agent, "a", "Refund order 17, 20 euros.")
    ask(agent, "b", "Refund order 17, 20 euros.", refused="It was used.")
    ask(agent, "c", "Cancel order 17.")
    ask(agent, "d", "Cancel order 17.", refused="It is on its way.")


# Where it runs.


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Play the language model on the double."""
    last = messages[-1]
    if last["role"] == "tool":
        return Reply(text=f"Done: {json.loads(last['content'])['message']}")
    if "Refund" in str(last["content"]):
        return Reply(calls=(Call(name="refund", arguments='{"order": "17", "euros": 20}'),))
    return Reply(calls=(Call(name="cancel_order", arguments='{"order": "17"}'),))


@contextmanager
def server() -> Generator[str, None, None]:
    """The address of the server."""
    if url := os.environ.get("LETTA_BASE_URL"):
        yield url
    else:
        with FakeLetta(model=play_model) as fake:
            yield fake.base_url


@contextmanager
def agent_on(url: str) -> Generator[str, None, None]:
    """An agent that may cancel orders once a person agrees; it and its tool are deleted again."""
    with LettaClient(base_url=url) as client:
        agent = client.agents.create(name="careful", model=os.environ.get("LETTA_MODEL"), include_base_tools=False)
        tool = call_api(url, "POST", "/v1/tools/", {"source_code": inspect.getsource(cancel_order)})
        tools = f"/v1/agents/{agent.id}/tools"
        call_api(url, "PATCH", f"{tools}/attach/{tool['id']}")
        call_api(url, "PATCH", f"{tools}/approval/cancel_order", {"requires_approval": True})
        try:
            yield agent.id
        finally:
            client.agents.delete(agent.id)
            call_api(url, "DELETE", f"/v1/tools/{tool['id']}")


def call_api(url: str, method: str, path: str, body: Any = None) -> Any:
    """Call the part of the API that sets up tools, which `LettaClient` leaves to Letta's own client."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('LETTA_API_KEY', '')}"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{url.rstrip('/')}{path}", data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read() or b"null")


if __name__ == "__main__":
    with server() as url, agent_on(url) as agent_id:
        show(ChatLetta(agent_id=agent_id, base_url=url))
