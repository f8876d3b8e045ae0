"""What tracers see of an agent in a workflow, beside what LlamaIndex tells of its own steps and tools."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow
from llama_index.core.instrumentation.events.agent import AgentToolCallEvent

from tests.llama_index.agents.support import IN_SEQUENCE, MakeAgent, add, multiply
from tests.llama_index.tracers import Events, Spans


@pytest.mark.parametrize("among_others", [False, True])
async def test_each_call_of_a_tool_is_told_once_under_the_step_that_asked_for_it(
    among_others: bool, make_agent: MakeAgent, events: Events, spans: Spans
) -> None:
    agent: Any = make_agent(name="clerk", description="Calculates.", tools=[add, multiply])
    workflow: Any = AgentWorkflow(agents=[agent]) if among_others else agent
    assert str(await workflow.run(user_msg=IN_SEQUENCE)) == "It is 3 and 12"

    calls = [event for event in events.seen if isinstance(event, AgentToolCallEvent)]
    assert [(call.tool.name, call.arguments) for call in calls] == [
        ("add", '{"a": 1, "b": 2}'),
        ("multiply", '{"a": 3, "b": 4}'),
    ]
    steps = [span.id_ for span in spans.completed_spans if "run_agent_step" in span.id_]
    assert [call.span_id for call in calls] == steps[:2]
    assert len(spans.named("FunctionTool.acall")) == 2
    assert spans.open_spans == {}
