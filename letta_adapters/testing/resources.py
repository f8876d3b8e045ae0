"""Agents, tools and conversations as JSON, and made from JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from letta_adapters.testing.errors import USER_ID, not_found, unprocessable
from letta_adapters.testing.messages import new_id, now
from letta_adapters.testing.runs import Run
from letta_adapters.testing.script import COMPLETION_TOKENS, PROMPT_TOKENS
from letta_adapters.testing.server_tools import ServerTool
from letta_adapters.testing.state import Agent, Block, Conversation

__all__ = [
    "agent_from",
    "agent_json",
    "change_agent",
    "change_block",
    "conversation_json",
    "model_settings_of",
    "step_json",
    "tool_json",
    "touched",
]

_DESCRIPTIONS = {
    "human": "The human block: Stores key details about the person you are conversing with, allowing for more "
    "personalized and friend-like conversation.",
    "persona": "The persona block: Stores details about your current persona, guiding how you behave and respond. "
    "This helps you to maintain consistency and personality in your interactions.",
}
_SYSTEM = (
    "You are a helpful agent with memory. Your memory blocks are below; keep what you learn in mind and answer "
    "the user directly."
)


def agent_from(body: dict[str, Any], *, default_model: str) -> Agent:
    """Make an agent from the body of a creating request."""
    agent_id = new_id("agent")
    blocks: list[dict[str, Any]] = body.get("memory_blocks") or []
    settings = model_settings_of(body)
    return Agent(
        id=agent_id,
        name=body.get("name") or "Agent",
        model=body.get("model") or default_model,
        system=body.get("system") or _SYSTEM,
        agent_type=body.get("agent_type") or "letta_v1_agent",
        blocks=tuple(_block_from(block) for block in blocks),
        model_settings=settings or {},
        parallel_tool_calls=_in_parallel(body, settings, otherwise=False),
        context_window=body.get("context_window_limit") or 128_000,
        tags=tuple(body.get("tags") or ()),
        metadata=body.get("metadata"),
        default=Conversation(id="default", agent_id=agent_id),
    )


def change_agent(agent: Agent, body: dict[str, Any]) -> None:
    """Apply the body of a changing request."""
    settings = model_settings_of(body)
    for name in ("name", "system", "model", "metadata"):
        if body.get(name) is not None:
            setattr(agent, name, body[name])
    # Naming a model puts what is not said with it back to its default.
    otherwise = agent.parallel_tool_calls and body.get("model") is None
    agent.parallel_tool_calls = _in_parallel(body, settings, otherwise=otherwise)
    if settings is not None:
        agent.model_settings = settings
    if body.get("context_window_limit") is not None:
        agent.context_window = body["context_window_limit"]
    if body.get("tool_rules") is not None:
        agent.needs_approval = _ruled(body["tool_rules"], "requires_approval")
        agent.exit_tools = _ruled(body["tool_rules"], "exit_loop")
    if body.get("tags") is not None:
        agent.tags = tuple(body["tags"])


def model_settings_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of a model in the body of a request.

    Raises:
        ApiError: They do not say whose model they are for.
    """
    settings = body.get("model_settings")
    if settings is None or "provider_type" in settings:
        return settings
    tag = "provider_type"
    problem = {
        "type": "union_tag_not_found",
        "loc": ("body", "model_settings"),
        "msg": f"Unable to extract tag using discriminator '{tag}'",
        "input": settings,
        "ctx": {"discriminator": repr(tag)},
    }
    raise unprocessable([problem])


def _in_parallel(body: dict[str, Any], settings: dict[str, Any] | None, *, otherwise: bool) -> bool:
    """Whether calls are kept in parallel: the field decides, then settings, in which it is on by default."""
    if body.get("parallel_tool_calls") is not None:
        return bool(body["parallel_tool_calls"])
    return bool(settings.get("parallel_tool_calls", True)) if settings is not None else otherwise


def _ruled(rules: list[dict[str, Any]], kind: str) -> set[str]:
    """The tools that rules of a kind are about."""
    return {str(rule["tool_name"]) for rule in rules if rule["type"] == kind}


def change_block(agent: Agent, label: str, body: dict[str, Any]) -> dict[str, Any]:
    """Apply the body of a request that changes a memory block, and show the block."""
    changes = {name: body[name] for name in ("value", "description", "limit") if body.get(name) is not None}
    blocks = {block.label: block for block in agent.blocks}
    if label not in blocks:
        raise not_found(f"No block with label '{label}' found for agent '{agent.id}'")
    blocks[label] = replace(blocks[label], **changes)
    agent.blocks = tuple(blocks.values())
    return _block_json(blocks[label])


def _block_from(block: dict[str, Any]) -> Block:
    if "label" not in block or "value" not in block:
        raise unprocessable([{"type": "missing", "loc": ("body", "memory_blocks"), "msg": "Field required"}])
    return Block(
        label=block["label"],
        value=block["value"],
        description=block.get("description") or _DESCRIPTIONS.get(block["label"], ""),
        limit=block.get("limit") or 100_000,
    )


def agent_json(agent: Agent) -> dict[str, Any]:
    """Show an agent."""
    model_name = agent.model.partition("/")[2] or agent.model
    # What the settings show of parallel calls is not what the agent does; its `llm_config` tells that.
    settings = {"provider_type": "openai", **agent.model_settings, "parallel_tool_calls": True}
    blocks = [_block_json(block) for block in agent.blocks]
    return {
        "id": agent.id,
        "name": agent.name,
        "agent_type": agent.agent_type,
        "system": agent.system,
        "description": None,
        "metadata": agent.metadata,
        "model": agent.model,
        "model_settings": settings,
        "llm_config": {
            "model": model_name,
            "handle": agent.model,
            "model_endpoint_type": "openai",
            "context_window": agent.context_window,
            "parallel_tool_calls": agent.parallel_tool_calls,
        },
        "memory": {"agent_type": agent.agent_type, "blocks": blocks, "file_blocks": [], "prompt_template": ""},
        "blocks": blocks,
        "tools": [tool_json(tool) for tool in agent.tools.values()],
        "tool_rules": [
            {"tool_name": name, "type": kind}
            for kind, names in (("requires_approval", agent.needs_approval), ("exit_loop", agent.exit_tools))
            for name in sorted(names)
        ],
        "message_ids": agent.default.in_context,
        "sources": [],
        "tags": list(agent.tags),
        "timezone": "UTC",
        "created_at": _date(agent.created_at),
        "updated_at": _date(agent.created_at),
    }


def _block_json(block: Block) -> dict[str, Any]:
    return {
        "id": block.id,
        "label": block.label,
        "value": block.value,
        "description": block.description or None,
        "limit": block.limit,
        "read_only": False,
    }


def tool_json(tool: ServerTool) -> dict[str, Any]:
    """Show a server tool."""
    return {
        "id": tool.id,
        "tool_type": "custom",
        "description": tool.description,
        "source_type": "python",
        "name": tool.name,
        "tags": [],
        "source_code": tool.source_code,
        "json_schema": tool.schema,
        "args_json_schema": None,
        "return_char_limit": 50_000,
        "default_requires_approval": None,
        "enable_parallel_execution": False,
    }


def conversation_json(conversation: Conversation, *, with_context: bool = False, cloud: bool = False) -> dict[str, Any]:
    """Show a conversation; only retrieving one alone names its messages."""
    shown = _conversation_json(conversation, with_context=with_context)
    if not cloud:
        return shown
    del shown["isolated_block_ids"]
    return {
        **shown,
        "in_context_message_ids": shown["in_context_message_ids"] if with_context else None,
        "description": conversation.description,
        "archived": conversation.archived_at is not None,
        "archived_at": _date(conversation.archived_at),
        "context_window_limit": conversation.context_window_limit,
    }


def _conversation_json(conversation: Conversation, *, with_context: bool) -> dict[str, Any]:
    return {
        "created_by_id": USER_ID,
        "last_updated_by_id": USER_ID,
        "created_at": _date(conversation.created_at),
        "updated_at": _date(conversation.updated_at),
        "id": conversation.id,
        "agent_id": conversation.agent_id,
        "summary": conversation.summary,
        "in_context_message_ids": conversation.in_context if with_context else [],
        "isolated_block_ids": [],
        "model": conversation.model,
        "model_settings": conversation.model_settings,
        "last_message_at": _date(conversation.last_message_at),
    }


def step_json(run: Run, step_id: str) -> dict[str, Any]:
    """Show a step of a run: one call of the model."""
    return {
        "id": step_id,
        "run_id": run.id,
        "agent_id": run.agent_id,
        "provider_name": "openai",
        "completion_tokens": COMPLETION_TOKENS,
        "prompt_tokens": PROMPT_TOKENS,
        "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        "stop_reason": run.stop_reason if step_id == run.step_ids[-1] else None,
        "messages": [],
        "status": "success",
    }


def touched(conversation: Conversation) -> None:
    """Note that a message came."""
    conversation.last_message_at = conversation.updated_at = now()


def _date(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None
