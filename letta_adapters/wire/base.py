"""What every wire type shares: extra fields are kept, unknown types are kept whole."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler

__all__ = ["Unknown", "WireModel", "keep_unknown"]


class WireModel(BaseModel):
    """Base of the types that the server sends; a field that it does not know is kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Unknown(WireModel):
    """Something that this version does not know, kept as it came.

    A message, an event or a content part of a future type, or a known one that lost a required field.
    """

    raw: Any

    @property
    def message_type(self) -> str:
        """The type that the server gave it, or `unknown`."""
        value = self._field("message_type")
        return value if isinstance(value, str) else "unknown"

    @property
    def seq_id(self) -> int | None:
        """Its number in a background stream."""
        value = self._field("seq_id")
        return value if isinstance(value, int) else None

    @property
    def run_id(self) -> str | None:
        """The run that it belongs to."""
        value = self._field("run_id")
        return value if isinstance(value, str) else None

    def _field(self, name: str) -> object:
        return cast("dict[str, Any]", self.raw).get(name) if isinstance(self.raw, dict) else None


def keep_unknown(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Wrap a validator so that what it cannot read becomes `Unknown` instead of an error."""
    if isinstance(value, Unknown):
        return value
    try:
        return handler(value)
    except ValidationError:
        return Unknown(raw=value)
