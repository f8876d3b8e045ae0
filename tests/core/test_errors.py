"""The error tree: drawn as it is, whole after pickling, readable."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from letta_adapters import errors

KINDS: list[type[errors.LettaError]] = [getattr(errors, name) for name in errors.__all__]
STATUS: dict[str, Any] = {"status": 418}


def _make(kind: type[errors.LettaError]) -> errors.LettaError:
    more: dict[str, Any] = STATUS if issubclass(kind, errors.StatusError) else {}
    return kind("It broke.", hint="Mend it.", run_id="run-1", detail="cause", **more)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_pickling_and_copying(kind: type[errors.LettaError]) -> None:
    error = _make(kind)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_what_happened_why_what_to_do_and_where(kind: type[errors.LettaError]) -> None:
    assert str(_make(kind)) == "It broke. The server says: cause. Mend it. (run_id=run-1)"


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn = re.findall(r"^ {4}(?:[│├└─ ]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(errors.__all__)


def test_a_detail_that_the_message_has_is_not_said_twice() -> None:
    assert str(errors.LettaError("It broke: cause.", detail="cause")) == "It broke: cause."


@pytest.mark.parametrize("kind", [errors.TurnInterrupted, errors.TurnFailed])
def test_errors_of_a_turn_in_flight_do_not_say_that_nothing_was_accepted(kind: type[errors.LettaError]) -> None:
    assert kind("It broke.").accepted is None
