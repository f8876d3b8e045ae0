"""Letta for LlamaIndex: `LettaChatEngine`, a chat engine whose memory is a Letta conversation."""

from llama_index_letta.answers import LettaChatResponse
from llama_index_letta.engine import LettaChatEngine
from llama_index_letta.engine_tool import LettaEngineTool
from llama_index_letta.streaming import LettaStreamingResponse

__all__ = ["LettaChatEngine", "LettaChatResponse", "LettaEngineTool", "LettaStreamingResponse"]
