"""A Letta agent as a tool of other agents."""

from __future__ import annotations

import json

import pytest
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import AsyncBaseTool, RetrieverTool

from llama_index_letta import LettaChatEngine, LettaChatResponse
from tests.langchain.readback import Reader
from tests.llama_index.support import MakeEngine, conversation_of, said, story_of


async def test_it_sends_a_message_and_gives_the_answer(engine: LettaChatEngine, reader: Reader) -> None:
    tool = engine.as_tool("ask_ann", "Ask Ann.")
    assert isinstance(tool, AsyncBaseTool)
    assert (tool.metadata.name, tool.metadata.description) == ("ask_ann", "Ask Ann.")
    assert tool("one").content == "You said: one"
    output = await tool.acall(input="two")
    assert (output.content, output.raw_input) == ("You said: two", {"input": "two"})
    assert isinstance(output.raw_output, LettaChatResponse)
    assert reader.story(conversation_of(engine)) == said("one", "two")


def test_its_sources_are_those_of_whoever_asked(make_engine: MakeEngine) -> None:
    index = VectorStoreIndex.from_documents([Document(text="Oslo is in Norway.")], embed_model=MockEmbedding(8))
    finder = make_engine(tools=[RetrieverTool.from_defaults(index.as_retriever(), name="find", description="Find.")])
    asker = make_engine(tools=[finder.as_tool("ask")])
    script = json.dumps({"input": '[[call find {"input": "Oslo"}]]'})
    quoted = script.replace("[", r"\u005b").replace("]", r"\u005d")  # a script inside of a script
    response = asker.chat(f"[[call ask {quoted}]]")
    assert [source.tool_name for source in response.sources] == ["ask"]
    assert [node.get_content() for node in response.source_nodes] == ["Oslo is in Norway."]


@pytest.mark.parametrize("return_direct", [True, False])
def test_its_answer_can_be_the_answer(return_direct: bool, make_engine: MakeEngine) -> None:
    inner = make_engine()
    outer = make_engine(tools=[inner.as_tool("ask", return_direct=return_direct)])
    response = outer.chat('[[call ask {"input": "hello"}]] [[next]] [[say told]]')
    assert str(response) == ("You said: hello" if return_direct else "told")


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # of the agent's own making
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
async def test_an_agent_of_llama_indexs_can_use_it(engine: LettaChatEngine) -> None:
    agent = FunctionAgent(tools=[engine.as_tool("ask_ann")], llm=MockFunctionCallingLLM())
    (tool,) = await agent.get_tools()
    output = await tool.acall(input="hello")
    assert output.content == "You said: hello"
    assert story_of(await engine.aget_history()) == said("hello")
