"""The records of turns."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from letta_adapters.testing.engine import Engine
from letta_adapters.testing.http import body_of, event_stream
from letta_adapters.testing.resources import step_json
from letta_adapters.testing.rows import rows_of_all
from letta_adapters.testing.turn_request import StreamRequest

__all__ = ["RunRoutes"]


class RunRoutes:
    """The records of turns."""

    def __init__(self, engine: Engine) -> None:
        """Serve the runs of an engine."""
        self._engine = engine

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/runs/", self._list, methods=["GET"]),
            Route("/v1/runs/active", self._list_active, methods=["GET"]),
            Route("/v1/runs/{run_id}", self._retrieve, methods=["GET"]),
            Route("/v1/runs/{run_id}/messages", self._messages, methods=["GET"]),
            Route("/v1/runs/{run_id}/usage", self._usage, methods=["GET"]),
            Route("/v1/runs/{run_id}/steps", self._steps, methods=["GET"]),
            Route("/v1/runs/{run_id}/stream", self._stream, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        runs = list(self._engine.runs.values())
        for name in ("agent_id", "conversation_id", "stop_reason"):
            if name in query:
                runs = [run for run in runs if getattr(run, name) == query[name]]
        if query.get("active") == "true":
            runs = [run for run in runs if run.active]
        if query.getlist("statuses"):
            runs = [run for run in runs if run.status in query.getlist("statuses")]
        if query.get("order", "desc") == "desc":
            runs.reverse()
        return JSONResponse([run.as_json() for run in runs[: int(query.get("limit", 100))]])

    async def _list_active(self, request: Request) -> Response:
        runs = [run for run in reversed(self._engine.runs.values()) if run.active]
        agent_id = request.query_params.get("agent_id")
        return JSONResponse([run.as_json() for run in runs if agent_id in (None, run.agent_id)])

    async def _retrieve(self, request: Request) -> Response:
        return JSONResponse(self._engine.run(request.path_params["run_id"]).as_json())

    async def _messages(self, request: Request) -> Response:
        run = self._engine.run(request.path_params["run_id"])
        stored = list(self._engine.store.of_run(run.id))
        if request.query_params.get("order", "asc") == "desc":
            stored.reverse()
        stored = stored[: int(request.query_params.get("limit", 100))]
        return JSONResponse(rows_of_all(stored, types=run.request_config["include_return_message_types"]))

    async def _usage(self, request: Request) -> Response:
        usage = self._engine.run(request.path_params["run_id"]).usage
        return JSONResponse(
            {
                "completion_tokens": usage.completion_tokens,
                "prompt_tokens": usage.prompt_tokens,
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                "prompt_tokens_details": None,
                "completion_tokens_details": None,
            }
        )

    async def _steps(self, request: Request) -> Response:
        run = self._engine.run(request.path_params["run_id"])
        steps = [step_json(run, step_id) for step_id in run.step_ids]
        return JSONResponse(steps if request.query_params.get("order") == "asc" else steps[::-1])

    async def _stream(self, request: Request) -> Response:
        run = self._engine.run(request.path_params["run_id"])
        body = StreamRequest.model_validate(await body_of(request))
        return event_stream(self._engine.reread(run, body))
