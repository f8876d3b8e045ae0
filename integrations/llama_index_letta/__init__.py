"""Letta for LlamaIndex: a memory-backed chat engine and a workflow agent. Nothing is here yet."""
