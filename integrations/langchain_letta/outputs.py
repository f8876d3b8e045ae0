"""What `with_structured_output` makes of an answer: the parsers, and the answer beside what was parsed."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Literal, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

from langchain_letta.blocks import call_of
from langchain_letta.messages import ANCHOR_KEY
from letta_adapters.events import PendingCall

__all__ = ["Method", "Schema", "parser_of_call", "parser_of_text", "structured", "why_not"]

Schema = dict[str, Any] | type[BaseModel] | type
"""A JSON schema, a pydantic class (of version 1 or 2) or a `TypedDict`."""

Method = Literal["function_calling", "json_schema", "json_mode"]

Parser = Runnable[AIMessage, Any]


def parser_of_call(schema: Schema, tool: str) -> Parser:
    """Read the call of the tool that stands for the schema."""
    parser: Runnable[Any, Any] = (
        PydanticToolsParser(tools=[cast("Any", schema)], first_tool_only=True)
        if _is_model(schema)
        else JsonOutputKeyToolsParser(key_name=tool, first_tool_only=True)
    )
    return cast("Parser", RunnableLambda(_checked(tool)) | parser)


def parser_of_text(schema: Schema | None) -> Parser:
    """Read the answer's text as JSON."""
    parser = PydanticOutputParser(pydantic_object=cast("Any", schema)) if _is_model(schema) else JsonOutputParser()
    return cast("Parser", parser)


def structured(model: Runnable[LanguageModelInput, AIMessage], parser: Parser, *, include_raw: bool) -> Any:
    """Put a parser behind a model; `include_raw` keeps the answer, and a failure to parse it, beside the result."""
    if not include_raw:
        return model | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


def why_not(schema: Schema, call: PendingCall) -> str | None:
    """Why the parser of a schema will not read a call; `None` where it will."""
    read = call_of(call)
    if read is None:
        return "its arguments are not a JSON object."
    try:
        if _is_model(schema):
            cast("Any", schema)(**read["args"])
    except Exception as error:  # whatever a validator of the caller's raises: the call has to be settled all the same
        return str(error)
    return None


def _is_model(schema: Schema | None) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _checked(tool: str) -> Callable[[AIMessage], AIMessage]:
    def check(answer: AIMessage) -> AIMessage:
        """Say that there is no answer of that form, rather than that it is `None`."""
        if any(call["name"] == tool for call in answer.tool_calls):
            return answer
        raise OutputParserException(_why_none(answer, tool), llm_output=answer.text)

    return check


def _why_none(answer: AIMessage, tool: str) -> str:
    waiting = [call["name"] for call in answer.response_metadata[ANCHOR_KEY]["pending"]]
    if waiting:
        return f"The agent waits for a decision about calls of {', '.join(waiting)}, and did not call {tool!r}."
    if answer.invalid_tool_calls:
        return f"The agent called {tool!r} with what is not a JSON object: {answer.invalid_tool_calls[0]['args']}"
    return f"The agent answered in words, also when it was asked to call {tool!r}: {answer.text}"
