"""What every wire type shares: extra fields are kept, unknown types are kept whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import CoreSchema, core_schema

from letta_adapters.redaction import redact

__all__ = ["Explanation", "Handle", "Id", "InputModel", "Unknown", "WireModel", "keep_unknown"]

_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,255}$"

Id = Annotated[str, StringConstraints(pattern=_ID)]
"""An id that becomes part of an address later on, so a server cannot put there what it likes."""

Handle = Annotated[str, StringConstraints(pattern=r"^[^/\s]+/\S+$")]
"""The name of a model, as `provider/model`."""

_LONGEST_TYPE = 100
_EXPLANATION = 2000

Explanation = Annotated[str, AfterValidator(lambda text: redact(text)[:_EXPLANATION])]
"""What a server says about a failure. It ends up in errors and logs: short, and without the key that was sent."""


class WireModel(BaseModel):
    """Base of the types that the server sends; a field that it does not know is kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class InputModel(BaseModel):
    """Base of what is sent; a field that the API does not have is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """Something that this version does not know, kept as it came.

    A message, an event or a content part of a future type, or a known one that lost a required field.
    """

    raw: Any

    @property
    def message_type(self) -> str:
        """The type that the server gave it, fit for a log, or `unknown`."""
        value = self._field("message_type")
        return redact(value)[:_LONGEST_TYPE] if isinstance(value, str) else "unknown"

    @property
    def seq_id(self) -> int | None:
        """Its number in a background stream."""
        value = self._field("seq_id")
        return value if isinstance(value, int) else None

    @property
    def run_id(self) -> str | None:
        """The run that it belongs to."""
        value = self._field("run_id")
        return value if isinstance(value, str) and re.fullmatch(_ID, value) else None

    def model_dump(self, **_: Any) -> Any:
        """The same as `raw`, so that known and unknown things can be dumped alike."""
        return self.raw

    def _field(self, name: str) -> object:
        raw: object = self.raw
        return cast("dict[str, object]", raw).get(name) if isinstance(raw, dict) else None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # In a union it stands for objects of this class only: what is not known is wrapped by `keep_unknown`.
        dump = core_schema.plain_serializer_function_ser_schema(cls._raw)
        return core_schema.is_instance_schema(cls, serialization=dump)

    @staticmethod
    def _raw(value: Unknown) -> Any:
        return value.raw


def keep_unknown(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Wrap a validator so that what it cannot read becomes `Unknown` instead of an error."""
    try:
        return handler(value)
    except ValidationError:
        return Unknown(raw=value)
