"""What the programs share: graphs, another model, and how to tell that nothing is lost or doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import uuid4

import httpx
import langgraph.graph  # pyright: ignore[reportMissingTypeStubs]
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field
from typing_extensions import override

from langchain_letta import ChatLetta
from tests.conftest import TIMEOUT, Backend
from tests.langchain.readback import Line, Reader, story_of
from tests.langchain.support import conversation_of

START: Any = langgraph.graph.START
END: Any = langgraph.graph.END

Node = Callable[[Any], Any]


def thread(name: str | None = None) -> Any:
    """The configuration of a LangGraph thread."""
    return {"configurable": {"thread_id": name or uuid4().hex}}


def message_graph() -> Any:
    """A graph whose state is a list of messages; its own types are beyond pyright."""
    return cast("Any", langgraph.graph).StateGraph(langgraph.graph.MessagesState)


def chain_of(*nodes: tuple[str, Node], saver: Any = None) -> Any:
    """A graph of nodes, one after the other."""
    graph = message_graph()
    before = START
    for name, node in nodes:
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile(checkpointer=saver)


def chat(model: ChatLetta) -> Node:
    """A node that lets the model answer to what was said so far."""

    def answer(state: Any) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    return answer


class Foreign(BaseChatModel):
    """Another vendor's model: says one thing after the other, and then the last one for ever."""

    says: list[AIMessage]
    asked: list[list[BaseMessage]] = Field(default_factory=list[list[BaseMessage]])

    @property
    @override
    def _llm_type(self) -> str:
        return "foreign"

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.asked.append(messages)
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        return ChatResult(generations=[ChatGeneration(message=said.model_copy(update={"id": uuid4().hex}))])

    @override
    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        return self


def stripped(message: BaseMessage) -> BaseMessage:
    """A message as a store keeps it that knows roles and texts only."""
    return message.model_copy(update={"response_metadata": {}, "id": None})


def expect(reader: Reader, messages: Sequence[BaseMessage], *, before: Sequence[Line] = ()) -> None:
    """The conversation that gave the last answer holds these messages, in this order, and nothing else."""
    assert reader.story(conversation_of(messages[-1])) == [*before, *story_of(messages)]


def expect_each_once(reader: Reader, messages: Sequence[BaseMessage]) -> None:
    """The conversation that gave the last answer holds these messages, each once, in whatever order."""
    assert Counter(reader.story(conversation_of(messages[-1]))) == Counter(story_of(messages))


def users(reader: Reader, conversation_id: str) -> list[str]:
    """What the conversation holds in the user's name."""
    return [text for kind, text in reader.story(conversation_id) if kind == "user"]


def results(reader: Reader, conversation_id: str) -> list[str]:
    """The results and denials that the conversation holds, one by one."""
    return [str(answer.get("tool_return", answer.get("reason"))) for answer in reader.answers(conversation_id)]


def runs(reader: Reader, conversation_id: str) -> set[str]:
    """The turns of the conversation; the SDK lists some twice."""
    return set(reader.runs(conversation_id))


def end_of_held_turn(backend: Backend, conversation_id: str, gate: str) -> None:
    """Let the turn of a conversation go on that waits at a gate, and wait for its end."""
    backend.open_gate(gate)
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.post(f"/v1/conversations/{conversation_id}/stream", json={}).read()
