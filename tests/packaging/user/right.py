"""A user's program, once for every front door; only its types are read, against the installed wheel."""

# LangChain leaves the type parameters of its agents open, LlamaIndex those of its workflows.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.runnables.history import RunnableWithMessageHistory
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine.types import BaseChatEngine
from pydantic import BaseModel
from typing_extensions import assert_never, assert_type

from langchain_letta import (
    ApprovalRequest,
    ChatLetta,
    LettaChatMessageHistory,
    LettaMiddleware,
    approval_requests,
    approval_result,
)
from letta_adapters import (
    AsyncLettaClient,
    FinishedTurn,
    LettaClient,
    LettaError,
    LoopResult,
    ReasoningDelta,
    TextDelta,
    ToolExecution,
    arun_turn,
    run_turn,
    stream_turn,
)
from letta_adapters.errors import ConversationBusy, PendingApprovalError, TurnInterrupted
from letta_adapters.events import (
    AnswerStarted,
    HiddenReasoning,
    Notice,
    PendingCall,
    ServerToolCall,
    ServerToolResult,
    TurnEvent,
    TurnStarted,
)
from letta_adapters.testing import Call, FakeLetta, RecordedRequest, Reply
from letta_adapters.wire import Agent, Conversation
from llama_index_letta import LettaAgent, LettaChatEngine, LettaChatResponse, LettaStreamingResponse


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Person(BaseModel):
    """What an answer is read into."""

    name: str


def chat_model() -> BaseChatModel:
    """Use the model alone, in a chain, with tools, a form and an agent."""
    model = ChatLetta(agent_id="agent-1", base_url="http://localhost:8283", on_rerun="fork")
    assert_type(model.invoke("Hello"), AIMessage)
    assert_type(model.stream("Hello"), Iterator[AIMessageChunk])
    assert_type(model.astream("Hello"), AsyncIterator[AIMessageChunk])
    assert_type(model.batch(["Hello", "Hi"]), list[AIMessage])
    assert_type(model.agent_id, str | None)
    chain = ChatPromptTemplate.from_messages([("user", "{text}")]) | model | StrOutputParser()
    assert_type(chain.invoke({"text": "Hello"}), str)
    bound = model.bind_tools([add])
    answer: BaseMessage = bound.invoke("What is 19 + 23?")
    assert isinstance(answer, AIMessage)
    assert_type(approval_requests(answer), list[ApprovalRequest])
    approval_result("call-1", approve=True)
    form: Runnable[Any, Any] = model.with_structured_output(Person)
    form.invoke("Ann is 34.")
    create_agent(model, [add], middleware=[LettaMiddleware(model)])
    return model


def history(chain: Runnable[Any, Any]) -> list[BaseMessage]:
    """Keep a chain's history in a conversation."""

    def of(session_id: str) -> LettaChatMessageHistory:
        return LettaChatMessageHistory(conversation_id=session_id)

    kept = RunnableWithMessageHistory(chain, of)
    kept.invoke({"text": "Hello"}, {"configurable": {"session_id": "conv-1"}})
    of("conv-1").add_messages([HumanMessage("Hello")])
    return of("conv-1").messages


def engine() -> BaseChatEngine:
    """Chat with LlamaIndex's engine."""
    with LettaChatEngine.from_defaults(agent_id="agent-1", tools=[add]) as engine:
        assert_type(engine, LettaChatEngine)
        assert_type(engine.chat("Hello"), LettaChatResponse)
        streamed = engine.stream_chat("Hello")
        assert_type(streamed, LettaStreamingResponse)
        for delta in streamed.response_gen:
            assert_type(delta, str)
        assert_type(engine.chat_history, list[ChatMessage])
        return engine


async def agent() -> str:
    """Run an agent in LlamaIndex's workflows."""
    agent = LettaAgent(agent_id="agent-1", tools=[add])
    handler = agent.run("What is 19 + 23?")
    async for event in handler.stream_events():
        print(event)
    return str(await handler)


def client() -> None:
    """Talk to the server without a framework."""
    with LettaClient(base_url="http://localhost:8283", api_key="none") as client:
        assert_type(client, LettaClient)
        made = client.agents.create(name="first-steps", model="openai/gpt-4.1-mini")
        assert_type(made, Agent)
        conversation = client.conversations.create(agent_id=made.id)
        assert_type(conversation, Conversation)
        with client.conversations.messages.create(conversation.id, input="Hello") as turn:
            for event in turn:
                assert_type(event, TurnEvent)
                told(event)
            assert_type(turn.result(), FinishedTurn)
        result = run_turn(client, conversation.id, "What is 19 + 23?", tools=[add])
        assert_type(result, LoopResult)
        assert_type(result.text, str)
        assert_type(result.executions, tuple[ToolExecution, ...])
        for step in stream_turn(client, conversation.id, "And 1 more?", tools=[add]):
            if isinstance(step, TextDelta):
                print(step.text)


async def async_client() -> FinishedTurn:
    """The same, asynchronously."""
    async with AsyncLettaClient() as client:
        conversation = await client.conversations.create(agent_id="agent-1")
        assert_type(conversation, Conversation)
        async with client.conversations.messages.create(conversation.id, input="Hello") as turn:
            async for event in turn:
                assert_type(event, TurnEvent)
            assert_type(await turn.result(), FinishedTurn)
        result = await arun_turn(client, conversation.id, "Hello")
        assert_type(result, LoopResult)
        return result.turns[-1]


def told(event: TurnEvent) -> str:
    """Match what a turn tells; the type checker knows when a kind was forgotten."""
    match event:
        case TextDelta() | ReasoningDelta():
            assert_type(event.text, str)
            return event.text
        case ServerToolCall() | PendingCall():
            assert_type(event.arguments, str)
            return event.name
        case TurnStarted() | AnswerStarted() | HiddenReasoning() | ServerToolResult() | Notice():
            return ""
        case _:
            assert_never(event)


def errors(call: Callable[[], object]) -> str | None:
    """Tell errors apart."""
    try:
        call()
    except TurnInterrupted as error:
        assert_type(error.run_id, str | None)
        return error.run_id
    except (ConversationBusy, PendingApprovalError) as error:
        assert_type(error.conversation_id, str | None)
        return error.conversation_id
    except LettaError as error:
        assert_type(error.detail, str | None)
    return None


def double() -> None:
    """Test a program against the double."""
    reply = Reply(calls=(Call(name="add", arguments='{"a": 1, "b": 2}'),))
    with FakeLetta(model=lambda messages: reply) as fake:
        assert_type(fake, FakeLetta)
        assert_type(fake.base_url, str)
        assert_type(fake.requests, list[RecordedRequest])


def policies(model: ChatLetta) -> None:
    """A policy is one of its words."""
    assert_type(model.on_abandon, Literal["finish", "cancel"])
