"""Conversations, their messages and their turns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from letta_adapters.testing.compaction import compact, compaction_settings
from letta_adapters.testing.engine import Engine
from letta_adapters.testing.errors import conversation_not_found, not_found, unprocessable
from letta_adapters.testing.http import body_of, checked_id, event_stream, json_of, page_of
from letta_adapters.testing.messages import new_id, now
from letta_adapters.testing.paging import contains
from letta_adapters.testing.resources import conversation_json, model_settings_of, touched
from letta_adapters.testing.rows import rows_of_all
from letta_adapters.testing.state import Agent, Conversation
from letta_adapters.testing.turn_request import StreamRequest, checked

__all__ = ["ConversationRoutes"]

_ARCHIVED = {"unarchived": (False,), "archived": (True,), "all": (False, True)}


class ConversationRoutes:
    """Conversations, their messages and their turns."""

    def __init__(self, engine: Engine) -> None:
        """Serve the conversations of an engine."""
        self._engine = engine
        self._store = engine.store

    def routes(self) -> list[Route]:
        """List the routes."""
        one = "/v1/conversations/{conversation_id}"
        return [
            Route("/v1/conversations/", self._create, methods=["POST"]),
            Route("/v1/conversations/", self._list, methods=["GET"]),
            Route(one, self._retrieve, methods=["GET"]),
            Route(one, self._change, methods=["PATCH"]),
            Route(one, self._delete, methods=["DELETE"]),
            Route(f"{one}/fork", self._fork, methods=["POST"]),
            Route(f"{one}/messages", self._list_messages, methods=["GET"]),
            Route(f"{one}/messages", self._send, methods=["POST"]),
            Route(f"{one}/messages/preview-raw-payload", self._preview, methods=["POST"]),
            Route(f"{one}/stream", self._stream, methods=["POST"]),
            Route(f"{one}/cancel", self._cancel, methods=["POST"]),
            Route(f"{one}/recompile", self._recompile, methods=["POST"]),
            Route(f"{one}/compact", self._compact, methods=["POST"]),
        ]

    def _found(self, request: Request, agent_id: Any) -> tuple[Agent, Conversation]:
        """Resolve the id of the path: a conversation, `default` of an agent, or (old) an agent."""
        given = str(request.path_params["conversation_id"])
        if given.startswith("agent-"):
            agent_id, given = given, "default"
        if given != "default":
            conversation = self._store.conversation(checked_id(request, "conversation"))
            return self._store.agent(conversation.agent_id), conversation
        if not agent_id:
            raise conversation_not_found("default")
        agent = self._store.agent(str(agent_id))
        return agent, agent.default

    def _resumed(self, request: Request, agent_id: str | None) -> tuple[Agent | None, Conversation | None]:
        """Resolve the id of the path as `_found`, but do not ask whether the conversation is there, or still is."""
        if str(request.path_params["conversation_id"]).startswith("conv-"):
            return None, self._store.conversations.get(checked_id(request, "conversation"))
        return self._found(request, agent_id)

    def _conversation(self, request: Request) -> Conversation:
        return self._store.conversation(checked_id(request, "conversation"))

    def _shown(self, conversation: Conversation, *, with_context: bool = False) -> Response:
        return JSONResponse(conversation_json(conversation, with_context=with_context, cloud=self._engine.cloud))

    async def _create(self, request: Request) -> Response:
        agent_id = request.query_params.get("agent_id")
        if agent_id is None:
            missing = {"type": "missing", "loc": ("query", "agent_id"), "msg": "Field required", "input": None}
            raise unprocessable([missing])
        if agent_id not in self._store.agents:
            raise not_found("Agent not found")
        agent = self._store.agent(agent_id)
        body = await body_of(request)
        conversation_id = new_id("conv")
        conversation = self._store.add_conversation(
            agent,
            system_text=self._store.compiled_system(agent, conversation_id),
            id=conversation_id,
            summary=body.get("summary"),
            model=body.get("model"),
            model_settings=model_settings_of(body),
            description=body.get("description"),
            hidden=bool(body.get("hidden")),
            context_window_limit=body.get("context_window_limit"),
        )
        return self._shown(conversation)

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        found = [c for c in self._store.conversations.values() if not c.deleted]
        if self._engine.cloud:
            wanted = _ARCHIVED[query.get("archive_status", "unarchived")]
            found = [c for c in found if not c.hidden and (c.archived_at is not None) in wanted]
        if "agent_id" in query:
            found = [c for c in found if c.agent_id == query["agent_id"]]
        if query.get("summary_search"):
            found = [c for c in found if c.summary is not None and contains(c.summary, query["summary_search"])]
        if query.get("order", "desc") == "desc":
            found.reverse()
        if query.get("after"):
            cursor = self._store.conversation(query["after"])  # an unknown one is not found, unlike in other lists
            found = found[found.index(cursor) + 1 :] if cursor in found else found
        shown = [conversation_json(c, cloud=self._engine.cloud) for c in found[: int(query.get("limit", 50))]]
        return JSONResponse(shown)

    async def _retrieve(self, request: Request) -> Response:
        return self._shown(self._conversation(request), with_context=True)

    async def _change(self, request: Request) -> Response:
        conversation = self._conversation(request)
        body = await body_of(request)
        model_settings_of(body)
        for name in ("summary", "model", "model_settings", "description", "context_window_limit"):
            if body.get(name) is not None:
                setattr(conversation, name, body[name])
        if body.get("last_message_at") is not None:
            conversation.last_message_at = datetime.fromisoformat(body["last_message_at"])
        if body.get("archived") is not None:
            conversation.archived_at = now() if body["archived"] else None
        return self._shown(conversation)

    async def _delete(self, request: Request) -> Response:
        self._store.delete(self._conversation(request))
        return JSONResponse(None)

    async def _fork(self, request: Request) -> Response:
        agent, source = self._found(request, request.query_params.get("agent_id"))
        query = request.query_params
        fork = self._store.fork(source, agent, last=query.get("message_id") if self._engine.cloud else None)
        fork.hidden = query.get("hidden") == "true"
        return self._shown(fork)

    async def _list_messages(self, request: Request) -> Response:
        page = page_of(request, relative=self._engine.cloud)
        types = request.query_params.getlist("include_return_message_types") or None
        given = str(request.path_params["conversation_id"])
        agent_id = request.query_params.get("agent_id")
        if given.startswith("agent-") or (given == "default" and agent_id):
            agent, _ = self._found(request, agent_id)
            messages = self._store.agent_page(agent, page, said_in="default", in_order=self._engine.cloud)
        else:
            known = self._store.conversations.get(checked_id(request, "conversation")) if given != "default" else None
            messages = self._store.page(known, page) if known else []
        return JSONResponse(rows_of_all(messages, types=types, cloud=self._engine.cloud))

    async def _send(self, request: Request) -> Response:
        turn = checked(await json_of(request))
        agent, conversation = self._found(request, turn.agent_id)
        touched(conversation)
        if not turn.streaming:
            return JSONResponse(await self._engine.answer(agent, conversation, turn))
        return event_stream(self._engine.open_stream(agent, conversation, turn))

    async def _preview(self, request: Request) -> Response:
        turn = checked(await json_of(request))
        agent, conversation = self._found(request, turn.agent_id)
        return JSONResponse(self._engine.preview(agent, conversation, turn))

    async def _stream(self, request: Request) -> Response:
        body = StreamRequest.model_validate(await body_of(request))
        agent: Agent | None = None
        conversation: Conversation | None = None
        if body.run_id is None and body.otid is None and self._engine.redis:
            agent, conversation = self._resumed(request, body.agent_id)
        return event_stream(self._engine.resume(agent, conversation, body))

    async def _cancel(self, request: Request) -> Response:
        agent, conversation = self._found(request, request.query_params.get("agent_id"))
        return JSONResponse(self._engine.cancel(agent, conversation))

    async def _recompile(self, request: Request) -> Response:
        agent, conversation = self._found(request, (await body_of(request)).get("agent_id"))
        text = self._store.compiled_system(agent, "default")
        if request.query_params.get("dry_run") != "true":
            self._store.edit_system(conversation, text)
        return JSONResponse(text)

    async def _compact(self, request: Request) -> Response:
        body = await body_of(request)
        _, conversation = self._found(request, body.get("agent_id"))
        settings = compaction_settings(body)
        return JSONResponse(await compact(self._store, self._engine.model, conversation, settings))
