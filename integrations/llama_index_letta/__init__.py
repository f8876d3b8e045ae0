"""Letta for LlamaIndex: `LettaChatEngine`, whose memory is a Letta conversation, and `LettaAgent` for workflows."""

from llama_index_letta.agent import LettaAgent
from llama_index_letta.agent_approvals import ApprovalRequiredEvent, ApprovalResponseEvent
from llama_index_letta.answers import LettaChatResponse
from llama_index_letta.engine import LettaChatEngine
from llama_index_letta.engine_tool import LettaEngineTool
from llama_index_letta.streaming import LettaStreamingResponse

__all__ = [
    "ApprovalRequiredEvent",
    "ApprovalResponseEvent",
    "LettaAgent",
    "LettaChatEngine",
    "LettaChatResponse",
    "LettaEngineTool",
    "LettaStreamingResponse",
]
