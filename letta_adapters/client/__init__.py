"""A typed client of the Letta API; the only place that talks HTTP."""

from letta_adapters.client.client import AsyncLettaClient, LettaClient

__all__ = ["AsyncLettaClient", "LettaClient"]
