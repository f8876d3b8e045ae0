"""The web application: all routes of the double."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from letta_adapters.testing.engine import Engine
from letta_adapters.testing.errors import ApiError, ModelError
from letta_adapters.testing.gates import GateClosed
from letta_adapters.testing.http import api_error, not_here, stopping
from letta_adapters.testing.routes_agents import AgentRoutes
from letta_adapters.testing.routes_conversations import ConversationRoutes
from letta_adapters.testing.routes_runs import RunRoutes

__all__ = ["make_app"]


def make_app(engine: Engine) -> Starlette:
    """Make the web application of an engine."""
    routes = [
        *AgentRoutes(engine).routes(),
        *ConversationRoutes(engine).routes(),
        *RunRoutes(engine).routes(),
        Route("/v1/health/", _cloud_health if engine.cloud else _health),
    ]
    handlers = {ApiError: api_error, ModelError: api_error, GateClosed: stopping, 404: not_here}
    return Starlette(routes=routes, exception_handlers=handlers)


async def _health(request: Request) -> Response:
    return JSONResponse({"version": "0.16.8", "status": "ok"})


async def _cloud_health(request: Request) -> Response:
    return JSONResponse({"version": "cloud", "status": "ok"})
