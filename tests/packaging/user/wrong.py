"""What a user gets wrong; a comment names the rule by which pyright must find it in that line, and nowhere else."""

from langchain_letta import ChatLetta, LettaMiddleware
from letta_adapters import AsyncLettaClient, LettaClient, TextDelta, run_turn
from letta_adapters.errors import TurnInterrupted
from letta_adapters.events import TurnEvent
from letta_adapters.testing import Reply
from llama_index_letta import LettaChatEngine

model = ChatLetta(agent_id="agent-1")
client = LettaClient(base_url="http://localhost:8283")

ChatLetta(agent_id=1)  # expected: reportArgumentType
ChatLetta(on_rerun="retry")  # expected: reportArgumentType
ChatLetta(agent="agent-1")  # expected: reportCallIssue
LettaMiddleware("agent-1")  # expected: reportArgumentType
number: int = model.invoke("Hello").text  # expected: reportAssignmentType
LettaChatEngine.from_defaults(agent_id=1)  # expected: reportArgumentType
LettaChatEngine(agent_id="agent-1")  # expected: reportArgumentType
LettaChatEngine.from_defaults(agent_id="agent-1", max_tool_round=3)  # expected: reportCallIssue
LettaChatEngine.from_defaults(agent_id="agent-1", history_policy="drop")  # expected: reportArgumentType
answer: int = LettaChatEngine.from_defaults(agent_id="agent-1").chat("Hello")  # expected: reportAssignmentType
client.conversations.create("agent-1")  # expected: reportCallIssue
client.conversations.messages.create("conv-1", input=1)  # expected: reportArgumentType
client.conversations.messages.list("conv-1", order="up")  # expected: reportArgumentType
run_turn(AsyncLettaClient(), "conv-1", "Hello")  # expected: reportArgumentType
run_turn(client, "conv-1", "Hello", tools=[1])  # expected: reportArgumentType
Reply("Hello")  # expected: reportCallIssue
with AsyncLettaClient() as asynchronous:  # expected: reportGeneralTypeIssues
    pass


def told(event: TurnEvent) -> str:
    return event.text  # expected: reportAttributeAccessIssue


def changed(delta: TextDelta) -> None:
    delta.text = ""  # expected: reportAttributeAccessIssue


def lost(error: TurnInterrupted) -> str:
    return error.run_id  # expected: reportReturnType
