"""The records of turns."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from letta_adapters.testing.engine import Engine
from letta_adapters.testing.errors import not_found
from letta_adapters.testing.http import body_of, event_stream, page_of
from letta_adapters.testing.paging import part_of
from letta_adapters.testing.resources import step_json
from letta_adapters.testing.rows import rows_of_all
from letta_adapters.testing.runs import Run
from letta_adapters.testing.turn_request import StreamRequest

__all__ = ["RunRoutes"]


@dataclass(frozen=True, kw_only=True)
class _Step:
    id: str


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
        page = page_of(request)
        given = [name for name in ("agent_id", "conversation_id", "stop_reason") if name in query]
        active = query.get("active") == "true"
        statuses = query.getlist("statuses")

        def wanted(run: Run) -> bool:
            if any(getattr(run, name) != query[name] for name in given):
                return False
            return (run.active or not active) and (not statuses or run.status in statuses)

        # A self-hosted server's cursors of runs point against the order: behind the newest run there is nothing.
        after_is_newer = page.descending is not self._engine.cloud
        runs = part_of(list(self._engine.runs.values()), page, after_is_newer=after_is_newer, where=wanted)
        return JSONResponse([run.as_json() for run in runs])

    async def _list_active(self, request: Request) -> Response:
        runs = [run for run in reversed(self._engine.runs.values()) if run.active]
        agent_id = request.query_params.get("agent_id")
        return JSONResponse([run.as_json() for run in runs if agent_id in (None, run.agent_id)])

    async def _retrieve(self, request: Request) -> Response:
        return JSONResponse(self._engine.run(request.path_params["run_id"]).as_json())

    async def _messages(self, request: Request) -> Response:
        run = self._engine.run(request.path_params["run_id"])
        page = page_of(request, order="asc", relative=self._engine.cloud)
        messages = self._engine.store.messages
        for cursor in (page.after, page.before):
            if cursor and cursor not in messages:
                raise not_found(f"No message found with id '{cursor}' for agent 'None'.")
        stored = part_of(
            list(messages.values()), page, after_is_newer=True, where=lambda message: message.run_id == run.id
        )
        types = run.request_config["include_return_message_types"]
        cloud = self._engine.cloud
        if page.descending and not cloud:  # here, and nowhere else, the rows of a message are backwards, too
            return JSONResponse(rows_of_all(stored[::-1], types=types)[::-1])
        return JSONResponse(rows_of_all(stored, types=types, cloud=cloud))

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
        page = page_of(request)
        for cursor in (page.after, page.before):
            if cursor and cursor not in run.step_ids:
                raise not_found(f"No Step found with id {cursor}")
        steps = [_Step(id=step_id) for step_id in run.step_ids]
        chosen = part_of(steps, page, after_is_newer=not page.descending)
        return JSONResponse([step_json(run, step.id) for step in chosen])

    async def _stream(self, request: Request) -> Response:
        run = self._engine.run(request.path_params["run_id"])
        body = StreamRequest.model_validate(await body_of(request))
        return event_stream(self._engine.reread(run, body))
