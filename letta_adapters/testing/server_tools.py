"""Tools that the server runs: a Python function, its schema read from its source."""

from __future__ import annotations

import ast
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from letta_adapters.testing.errors import invalid_argument
from letta_adapters.testing.messages import new_id

__all__ = ["Outcome", "ServerTool", "parse_tool", "read_arguments"]

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run of a tool gave."""

    status: Literal["success", "error"]
    value: Any
    stdout: list[str] | None = None
    stderr: list[str] | None = None

    @property
    def text(self) -> Any:
        """The value as the model gets it: a dict stays a dict, everything else is text."""
        return self.value if isinstance(self.value, dict) else str(self.value)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


@dataclass(frozen=True, kw_only=True)
class ServerTool:
    """A tool that the server runs itself."""

    id: str
    name: str
    description: str
    parameters: dict[str, Any]
    source_code: str

    @property
    def schema(self) -> dict[str, Any]:
        """The function schema that the model gets."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}

    def run(self, arguments: dict[str, Any]) -> Outcome:
        """Run the function; what it prints and raises becomes part of the outcome."""
        printed: list[str] = []

        def capture(*values: object, sep: str = " ", end: str = "\n", **_: object) -> None:
            printed.append(sep.join(map(str, values)) + end)

        namespace: dict[str, Any] = {"print": capture}
        try:
            exec(compile(self.source_code, self.name, "exec"), namespace)
            function: Callable[..., Any] = namespace[self.name]
            value = function(**arguments)
        except Exception as error:
            text = f"Error executing function {self.name}: {type(error).__name__}: {error}"
            return Outcome(status="error", value=text, stdout=_output(printed), stderr=[traceback.format_exc()])
        return Outcome(status="success", value=value, stdout=_output(printed), stderr=[])


def _output(printed: list[str]) -> list[str]:
    return ["".join(printed)] if printed else []


def parse_tool(source_code: str) -> ServerTool:
    """Read a tool from the source of a function with annotations and a docstring."""
    try:
        functions = [node for node in ast.parse(source_code).body if isinstance(node, ast.FunctionDef)]
    except SyntaxError as error:
        raise invalid_argument(f"Failed to parse function source code: {error}") from error
    if not functions:
        raise invalid_argument("Failed to parse function source code: no function found")
    function = functions[-1]
    docstring = ast.get_docstring(function) or ""
    described = _described_arguments(docstring)
    arguments = function.args.args
    optional = len(function.args.defaults)
    return ServerTool(
        id=new_id("tool"),
        name=function.name,
        description=docstring.split("\n\n")[0].strip(),
        parameters={
            "type": "object",
            "properties": {
                argument.arg: {"type": _json_type(argument.annotation), "description": described.get(argument.arg, "")}
                for argument in arguments
            },
            "required": [argument.arg for argument in arguments[: len(arguments) - optional]],
        },
        source_code=source_code,
    )


def read_arguments(text: str) -> dict[str, Any]:
    """Read a call's arguments as leniently as the server: what is not a JSON object is no arguments."""
    try:
        arguments: Any = json.loads(text.split("}{", 1)[0] + "}" if "}{" in text else text)
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _json_type(annotation: ast.expr | None) -> str:
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return _TYPES.get(annotation.id, "string") if isinstance(annotation, ast.Name) else "string"


def _described_arguments(docstring: str) -> dict[str, str]:
    """The `Args:` section of a google-style docstring."""
    lines = docstring.partition("Args:")[2].splitlines()
    pairs = (line.strip().partition(":") for line in lines if ":" in line)
    return {name.partition("(")[0].strip(): text.strip() for name, _, text in pairs}
