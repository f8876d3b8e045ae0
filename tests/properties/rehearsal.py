"""Making a plan without carrying it out: reads what it wants to read, and stops at the first thing with an effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.delivery_steps import Claim, Flow, Pause
from letta_adapters.errors import LettaError
from letta_adapters.exchange import error_from_response
from letta_adapters.wire import TurnRequest
from tests.properties.server import Double

__all__ = ["rehearsed"]


def rehearsed(flow: Flow, double: Double) -> object:
    """The first step of a delivery that is more than reading, with all that came of what it read."""
    answer: Any = None
    try:
        while True:
            step = flow.throw(answer) if isinstance(answer, LettaError) else flow.send(answer)
            if isinstance(step, Endpoint) and step.request.method == "GET":
                answer = _read(step, double)
            elif isinstance(step, Claim | Pause):
                answer = None
            elif isinstance(step, Endpoint):
                return step.request
            else:
                return replace(step, patience=None, request=_comparable(step))
    except LettaError as error:
        return type(error), str(error)
    finally:
        flow.close()


def _read(endpoint: Endpoint[Any], double: Double) -> Any:
    answer = double.call(endpoint.request)
    body = double.read(answer)
    if answer.status == 200:
        return endpoint.read(body)
    return error_from_response(answer.status, body, what=endpoint.request.path)


def _comparable(prepared: PreparedTurn) -> TurnRequest | None:
    """The request; the otids of one that nobody else could make are made up every time."""
    if prepared.request is None or prepared.may_be_stored:
        return prepared.request
    nameless = [message.model_copy(update={"otid": None}) for message in prepared.request.messages or ()]
    return prepared.request.model_copy(update={"messages": nameless})
