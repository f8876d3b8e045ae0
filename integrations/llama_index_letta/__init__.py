"""Letta for LlamaIndex: `LettaChatEngine`, whose memory is a Letta conversation, and `LettaAgent` for workflows.

`llama_index_from_letta` and `letta_from_llama_index` translate messages as a server stores them.
"""

from importlib import import_module

try:
    import_module("llama_index.core")
except ModuleNotFoundError as error:
    text = "llama_index_letta needs llama-index-core: pip install 'letta-adapters[llama-index]'"
    raise ModuleNotFoundError(text, name=error.name) from error

from llama_index_letta.agent import LettaAgent
from llama_index_letta.agent_approvals import ApprovalRequiredEvent, ApprovalResponseEvent
from llama_index_letta.answers import LettaChatResponse
from llama_index_letta.engine import LettaChatEngine
from llama_index_letta.engine_tool import LettaEngineTool
from llama_index_letta.history import llama_index_from_letta
from llama_index_letta.llama_index_to_stored import letta_from_llama_index
from llama_index_letta.streaming import LettaStreamingResponse

__all__ = [
    "ApprovalRequiredEvent",
    "ApprovalResponseEvent",
    "LettaAgent",
    "LettaChatEngine",
    "LettaChatResponse",
    "LettaEngineTool",
    "LettaStreamingResponse",
    "letta_from_llama_index",
    "llama_index_from_letta",
]
