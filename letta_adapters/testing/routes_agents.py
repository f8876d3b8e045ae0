"""Agents, the tools that the server runs for them, and their own lists of messages."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from letta_adapters.testing.compaction import compact, compaction_settings
from letta_adapters.testing.engine import Engine
from letta_adapters.testing.errors import PendingApproval, invalid, unprocessable
from letta_adapters.testing.http import body_of, checked_id, event_stream, json_of, page_of
from letta_adapters.testing.paging import part_of
from letta_adapters.testing.resources import agent_from, agent_json, change_agent, change_block, tool_json
from letta_adapters.testing.rows import rows_of_all
from letta_adapters.testing.server_tools import parse_tool
from letta_adapters.testing.state import Agent
from letta_adapters.testing.turn_request import check_stream_options, checked, checked_change

__all__ = ["AgentRoutes"]

NO_CHANGES = (
    "Message editing is no longer supported. Messages are immutable as they may be shared across multiple "
    "conversations via forking."
)


class AgentRoutes:
    """Agents and the tools that the server runs for them."""

    def __init__(self, engine: Engine) -> None:
        """Serve the agents of an engine."""
        self._engine = engine
        self._store = engine.store

    def routes(self) -> list[Route]:
        """List the routes."""
        agent = "/v1/agents/{agent_id}"
        return [
            Route("/v1/agents/", self._create, methods=["POST"]),
            Route("/v1/agents/", self._list, methods=["GET"]),
            Route(agent, self._retrieve, methods=["GET"]),
            Route(agent, self._change, methods=["PATCH"]),
            Route(agent, self._delete, methods=["DELETE"]),
            Route(f"{agent}/tools/attach/{{tool_id}}", self._attach, methods=["PATCH"]),
            Route(f"{agent}/tools/approval/{{tool_name}}", self._set_approval, methods=["PATCH"]),
            Route(f"{agent}/core-memory/blocks/{{label}}", self._change_block, methods=["PATCH"]),
            Route(f"{agent}/messages", self._list_messages, methods=["GET"]),
            Route(f"{agent}/messages", self._send, methods=["POST"]),
            Route(f"{agent}/messages/{{message_id}}", self._change_message, methods=["PATCH"]),
            Route(f"{agent}/messages/stream", self._stream, methods=["POST"]),
            Route(f"{agent}/messages/preview-raw-payload", self._preview, methods=["POST"]),
            Route(f"{agent}/messages/async", self._send_async, methods=["POST"]),
            Route(f"{agent}/messages/cancel", self._cancel, methods=["POST"]),
            Route(f"{agent}/reset-messages", self._reset, methods=["PATCH"]),
            Route(f"{agent}/summarize", self._summarize, methods=["POST"]),
            Route("/v1/tools/", self._create_tool, methods=["POST"]),
            Route("/v1/tools/", self._list_tools, methods=["GET"]),
            Route("/v1/tools/{tool_id}", self._delete_tool, methods=["DELETE"]),
            Route("/v1/models/", self._list_models, methods=["GET"]),
        ]

    def _agent(self, request: Request) -> Agent:
        return self._store.agent(checked_id(request, "agent"))

    async def _create(self, request: Request) -> Response:
        body = await body_of(request)
        self._engine.check_handle(body.get("model"))
        agent = agent_from(body, default_model=self._engine.handles[0])
        self._store.agents[agent.id] = agent
        self._store.set_system(agent.default, self._store.compiled_system(agent, "default"))
        return JSONResponse(agent_json(agent))

    async def _list(self, request: Request) -> Response:
        page = page_of(request, limit=50)
        tags = set(request.query_params.getlist("tags"))
        agents = part_of(
            list(self._store.agents.values()),
            page,
            after_is_newer=not page.descending,
            where=lambda agent: not tags or not tags.isdisjoint(agent.tags),
        )
        return JSONResponse([agent_json(agent) for agent in agents])

    async def _retrieve(self, request: Request) -> Response:
        return JSONResponse(agent_json(self._agent(request)))

    async def _change(self, request: Request) -> Response:
        agent = self._agent(request)
        body = await body_of(request)
        self._engine.check_handle(body.get("model"))
        change_agent(agent, body)
        return JSONResponse(agent_json(agent))

    async def _delete(self, request: Request) -> Response:
        agent = self._agent(request)
        del self._store.agents[agent.id]
        for conversation in self._store.conversations.values():
            if conversation.agent_id == agent.id:
                self._store.delete(conversation)
        return JSONResponse({"message": f"Agent id={agent.id} successfully deleted"})

    async def _change_block(self, request: Request) -> Response:
        """Change a memory block: the agent's default conversation is compiled anew at once, and no other one."""
        agent = self._agent(request)
        block = change_block(agent, request.path_params["label"], await body_of(request))
        self._store.edit_system(agent.default, self._store.compiled_system(agent, "default"))
        return JSONResponse(block)

    async def _attach(self, request: Request) -> Response:
        agent = self._agent(request)
        tool = self._store.tool(request.path_params["tool_id"])
        agent.tools[tool.name] = tool
        return JSONResponse(agent_json(agent))

    async def _set_approval(self, request: Request) -> Response:
        agent = self._agent(request)
        name = request.path_params["tool_name"]
        needed = (await body_of(request)).get("requires_approval", request.query_params.get("requires_approval"))
        if needed in (True, "true"):
            agent.needs_approval.add(name)
        else:
            agent.needs_approval.discard(name)
        return JSONResponse(agent_json(agent))

    async def _create_tool(self, request: Request) -> Response:
        tool = parse_tool(str((await body_of(request)).get("source_code") or ""))
        self._store.tools[tool.id] = tool
        return JSONResponse(tool_json(tool))

    async def _delete_tool(self, request: Request) -> Response:
        """Delete a tool; agents that have it lose it."""
        tool = self._store.tools.pop(request.path_params["tool_id"], None)
        if tool is None:
            raise invalid(f"Tool with id {request.path_params['tool_id']} not found.")
        for agent in self._store.agents.values():
            if agent.tools.get(tool.name) is tool:
                del agent.tools[tool.name]
        return JSONResponse(None)

    async def _list_tools(self, request: Request) -> Response:
        page = page_of(request, limit=50)
        names = request.query_params.getlist("names")
        tools = part_of(
            list(self._store.tools.values()),
            page,
            after_is_newer=not page.descending,
            where=lambda tool: not names or tool.name in names,
        )
        return JSONResponse([tool_json(tool) for tool in tools])

    async def _list_models(self, request: Request) -> Response:
        return JSONResponse([{"handle": handle, "name": handle.partition("/")[2]} for handle in self._engine.handles])

    async def _list_messages(self, request: Request) -> Response:
        agent = self._agent(request)
        said_in = request.query_params.get("conversation_id")
        cloud = self._engine.cloud
        messages = self._store.agent_page(agent, page_of(request, relative=cloud), said_in=said_in, in_order=cloud)
        types = request.query_params.getlist("include_return_message_types") or None
        return JSONResponse(rows_of_all(messages, types=types, cloud=cloud))

    async def _change_message(self, request: Request) -> Response:
        """Refuse it: conversations share messages."""
        checked_change(await json_of(request))
        return JSONResponse({"detail": NO_CHANGES}, status_code=405)

    async def _send(self, request: Request) -> Response:
        turn = checked(await json_of(request), streams=False)
        if turn.streaming and not _is_sdk(request):
            raise unprocessable("streaming=true is only supported for SDK v1.0+ clients.")
        check_stream_options(turn)
        agent = self._agent(request)
        if turn.streaming:
            return event_stream(self._engine.open_stream(agent, agent.default, turn, locks=False))
        try:
            return JSONResponse(await self._engine.answer_directly(agent, turn))
        except PendingApproval as error:
            raise error.with_code() from error

    async def _stream(self, request: Request) -> Response:
        turn = checked(await json_of(request))
        agent = self._agent(request)
        turn.streaming = True
        return event_stream(self._engine.open_stream(agent, agent.default, turn, locks=False))

    async def _preview(self, request: Request) -> Response:
        turn = checked(await json_of(request))
        agent = self._agent(request)
        return JSONResponse(self._engine.preview(agent, agent.default, turn))

    async def _send_async(self, request: Request) -> Response:
        turn = checked(await json_of(request), streams=False)
        return JSONResponse(self._engine.start_async(self._agent(request), turn).as_json())

    async def _cancel(self, request: Request) -> Response:
        agent = self._agent(request)
        return JSONResponse(self._engine.cancel_latest(agent, (await body_of(request)).get("run_ids")))

    async def _reset(self, request: Request) -> Response:
        agent = self._agent(request)
        agent.default.set_context(agent.default.in_context[:1])
        self._store.edit_system(agent.default, self._store.compiled_system(agent, "default"))
        return JSONResponse(agent_json(agent))

    async def _summarize(self, request: Request) -> Response:
        agent = self._agent(request)
        settings = compaction_settings(await body_of(request))
        return JSONResponse(await compact(self._store, self._engine.model, agent.default, settings))


def _is_sdk(request: Request) -> bool:
    """Whether the official SDK asks, or somebody who says so."""
    agent = request.headers.get("user-agent", "")
    version = agent.rpartition("letta-client/")[2] if "letta-client/" in agent else ""
    return "x-stainless-package-version" in request.headers or (version[:1].isdigit() and not version.startswith("0"))
