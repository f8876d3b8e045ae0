"""Client tools: what may be offered to an agent, made out of functions where there is no framework."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from letta_adapters.wire import ClientTool

__all__ = ["InvalidArguments", "Tool", "as_tools", "check_client_tools", "check_listed"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REWRITTEN = frozenset({"send_message"})
"""Names that the server gives a meaning of its own: a call would be listed as an assistant message (0.16.8)."""

_ARGS_SECTION = re.compile(r"^[ \t]*(?:Args|Arguments|Parameters):[ \t]*$", re.MULTILINE)
_ANY_SECTION = re.compile(r"^[ \t]*(?:Returns|Return|Yields|Raises|Examples?|Notes?|Attributes):[ \t]*$", re.MULTILINE)
_DESCRIBED = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


_NOT_LISTS = (str, bytes, Mapping, BaseModel, type)
"""What can be iterated over, and is one thing all the same; a tool of LangChain's is a model of pydantic's."""


class InvalidArguments(ValueError):
    """The arguments of a call do not fit the tool; the text is for the model."""


def check_listed(tools: object) -> None:
    """Raise `TypeError` where tools are no list: one bare function, say."""
    if isinstance(tools, _NOT_LISTS) or not isinstance(tools, Iterable):
        given = cast("object", tools)
        name = getattr(given, "__name__", "…")
        raise TypeError(f"`tools` must be a list, even of one tool (`[{name}]`), not {type(given).__name__}.")


def check_client_tools(tools: Iterable[tuple[ClientTool, str]]) -> tuple[ClientTool, ...]:
    """Check the tools of one request.

    Args:
        tools: Each tool with a description of where it comes from, for the error.

    Raises:
        ValueError: A name is refused by the API, or two tools have the same one.
    """
    seen: dict[str, tuple[ClientTool, str]] = {}
    for tool, origin in tools:
        if not _NAME.fullmatch(tool.name):
            raise ValueError(
                f"The tool name {tool.name!r} of {origin} is not allowed: 1 to 64 letters, digits, `_` and `-`."
            )
        if tool.name in _REWRITTEN:
            raise ValueError(f"The tool name {tool.name!r} of {origin} is the server's own; choose another.")
        if tool.name in seen:
            raise ValueError(f"Two tools are named {tool.name!r}: {seen[tool.name][1]} and {origin}.")
        seen[tool.name] = (tool, origin)
    return tuple(tool for tool, _ in seen.values())


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool that the agent may call and this process runs.

    The function is called with the arguments by keyword, after they were validated against its signature and coerced
    to the types there (`"3"` becomes `3` for an `int`); a parameter that has no annotation takes what comes.

    Args:
        name: What the agent calls it: 1 to 64 letters, digits, `_` and `-`.
        function: What is run, blocking or async.
        description: What it is good for, told to the agent.
        parameters: The JSON Schema of its arguments, an object.
        return_direct: Whether its result is the answer: the agent is not asked again.

    Example:
        ```python
        Tool(
            name="add",
            description="Add two numbers.",
            parameters={"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
            function=lambda a, b: a + b,
        )
        ```
    """

    name: str
    function: Callable[..., Any]
    description: str | None = None
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}, "required": []})
    return_direct: bool = False
    _signature: _Signature | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Read once, and before anything is sent: a signature that cannot be validated against is the caller's error.
        object.__setattr__(self, "_signature", _signature_of(self.function, self.name, annotated=False))

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        return_direct: bool = False,
    ) -> Tool:
        """Make a tool out of a function, blocking or async: its schema is read from signature and docstring.

        Every parameter needs an annotation that pydantic can make a JSON Schema of: plain types, containers,
        `Literal`, enums, dataclasses, pydantic models, `Annotated[…, Field(description=…)]`. Parameters may have
        defaults and be keyword-only. Not supported: positional-only parameters, `*args`, `**kwargs`, and functions
        whose signature cannot be read (some builtins); write a `Tool` for those. A docstring in Google's style
        describes the parameters under `Args:`.

        Args:
            function: The function, method or callable object.
            name: Another name than the function's own.
            description: Another description than the docstring.
            return_direct: Whether its result is the answer: the agent is not asked again.

        Raises:
            TypeError: The function is not one of those; the message names the parameter.
        """
        called = name or getattr(function, "__name__", None) or type(function).__name__
        signature = _signature_of(function, called, annotated=True)
        assert signature is not None, "a function that cannot be read is refused"
        return cls(
            name=called,
            description=description if description is not None else _summary(_docstring(function)) or None,
            parameters=signature.schema(),
            function=function,
            return_direct=return_direct,
        )

    def client_tool(self) -> ClientTool:
        """The tool as the API takes it."""
        return ClientTool(name=self.name, description=self.description, parameters=self.parameters)

    def validated(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check arguments against the function's signature and coerce them to its types.

        Raises:
            InvalidArguments: They do not fit.
        """
        return arguments if self._signature is None else self._signature.validated(arguments)


def as_tools(tools: Sequence[Tool | Callable[..., Any]]) -> dict[str, Tool]:
    """Make tools out of functions and check them all, by name.

    Raises:
        TypeError: They are no list, one is no function, or its signature is not supported.
        ValueError: A name is refused by the API, or two tools have the same one.
    """
    check_listed(tools)
    made = [tool if isinstance(tool, Tool) else _from_callable(tool) for tool in tools]
    check_client_tools(
        (one.client_tool(), f"tool {number} ({getattr(one.function, '__qualname__', type(one.function).__name__)})")
        for number, one in enumerate(made, start=1)
    )
    return {tool.name: tool for tool in made}


def _from_callable(tool: Any) -> Tool:
    if not callable(tool) or isinstance(tool, type):
        raise TypeError(f"A tool is a function or a `Tool`, not {tool!r}. {_OF_FRAMEWORKS}")
    try:
        return Tool.from_function(tool)
    except TypeError as error:
        if inspect.isroutine(tool) or isinstance(tool, partial):
            raise
        raise TypeError(f"{error} A tool is a function or a `Tool`. {_OF_FRAMEWORKS}") from None


_OF_FRAMEWORKS = "A framework's own tools go to the adapter of that framework."


@dataclass(frozen=True, kw_only=True)
class _Signature:
    """A function's parameters as a model; its fields have names of their own, lest one hides a method of pydantic's."""

    model: type[BaseModel]
    names: dict[str, str]

    def schema(self) -> dict[str, Any]:
        schema = self.model.model_json_schema(by_alias=True, schema_generator=_PlainSchema)
        schema.pop("title", None)
        return {"required": [], "properties": {}, **schema}

    def validated(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            made = self.model.model_validate(arguments)
        except ValidationError as error:
            raise InvalidArguments(_told(error)) from None
        given = {self.names[name]: getattr(made, name) for name in made.model_fields_set if name in self.names}
        return {**given, **(made.model_extra or {})}


class _PlainSchema(GenerateJsonSchema):
    """Without titles, which only repeat the names, and without warnings about defaults that are not JSON."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _signature_of(function: Callable[..., Any], name: str, *, annotated: bool) -> _Signature | None:
    """Read a signature; `annotated` insists on one that tells the schema, otherwise `None` says that it cannot be."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        if annotated:
            raise TypeError(f"The signature of tool {name!r} cannot be read: {error}. Write a `Tool` for it.") from None
        return None
    hints = _hints(function, name, annotated=annotated)
    described = _parameter_descriptions(_docstring(function))
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    extra = False
    for position, parameter in enumerate(signature.parameters.values()):
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and not annotated:
            extra = extra or parameter.kind is parameter.VAR_KEYWORD
            continue
        annotation = _annotation(parameter, hints, name, annotated=annotated)
        field_name = f"argument_{position}"
        names[field_name] = parameter.name
        fields[field_name] = (annotation, _field(parameter, annotation, described.get(parameter.name)))
    config = ConfigDict(extra="allow" if extra else "forbid", arbitrary_types_allowed=not annotated)
    try:
        model = create_model("Arguments", __config__=config, **fields)
        made = _Signature(model=model, names=names)
        if annotated:
            made.schema()
    except (PydanticUserError, TypeError, NameError) as error:
        reason = str(error).splitlines()[0]
        raise TypeError(f"No JSON Schema can be made of the parameters of tool {name!r}: {reason}") from None
    return made


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What carries the annotations and the docstring: what a partial or an object calls."""
    target: Any = function
    while isinstance(target, partial):
        target = cast("Any", target).func
    return target if inspect.isroutine(target) else type(target).__call__


def _docstring(function: Callable[..., Any]) -> str:
    called = _called(function)
    return inspect.getdoc(called) or ("" if called is function else inspect.getdoc(function)) or ""


def _hints(function: Callable[..., Any], name: str, *, annotated: bool) -> dict[str, Any]:
    """The annotations, resolved: they may be texts."""
    try:
        return get_type_hints(inspect.unwrap(_called(function)), include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        if not annotated:
            return {}
        raise TypeError(f"An annotation of tool {name!r} cannot be resolved: {error}.") from None


def _annotation(parameter: inspect.Parameter, hints: dict[str, Any], name: str, *, annotated: bool) -> Any:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise TypeError(
            f"Parameter {parameter.name!r} of tool {name!r} is {parameter.kind.description}; arguments come by name."
        )
    if parameter.name in hints:
        return hints[parameter.name]
    if annotated:
        raise TypeError(f"Parameter {parameter.name!r} of tool {name!r} has no annotation, so its type is not known.")
    return Any


def _field(parameter: inspect.Parameter, annotation: Any, description: str | None) -> Any:
    told = FieldInfo.from_annotation(annotation).description or description
    default = ... if parameter.default is parameter.empty else parameter.default
    if isinstance(default, FieldInfo):
        raise TypeError(
            f"Parameter {parameter.name!r} has a `Field` as its default; write `Annotated[type, Field(…)] = default`."
        )
    return Field(default=default, alias=parameter.name, description=told)


def _told(error: ValidationError) -> str:
    """What is wrong with the arguments, a few words for each."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(str(step) for step in one['loc']) or 'arguments'}: {one['msg']}" for one in problems]
    return "; ".join(told)


def _summary(docstring: str) -> str:
    """A docstring without its sections."""
    starts = [found.start() for pattern in (_ARGS_SECTION, _ANY_SECTION) if (found := pattern.search(docstring))]
    return docstring[: min(starts, default=len(docstring))].strip()


def _parameter_descriptions(docstring: str) -> dict[str, str]:
    """What the `Args:` section of a Google-style docstring says of each parameter."""
    section = _ARGS_SECTION.search(docstring)
    if section is None:
        return {}
    lines = docstring[section.end() :].splitlines()
    inside = [line for line in lines if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in inside[:1]), default=0)
    described: dict[str, str] = {}
    name = ""
    for line in inside:
        depth = len(line) - len(line.lstrip())
        if depth < indent or depth == 0:
            break
        found = _DESCRIBED.match(line.strip()) if depth == indent else None
        if found:
            name = found.group(1)
            described[name] = found.group(2)
        elif name:
            described[name] = f"{described[name]} {line.strip()}"
    return described
