"""A tool loop of one's own, without a framework: `run_turn`, `arun_turn`, and both as streams.

`flow.py` has the order of things, without I/O; a pump carries it out, with a runner for the tools; `turns.py` is what
a caller sees.
"""

from letta_adapters.loop.calls import ToolAnswer, ToolExecution, ToolFinished, ToolStarted
from letta_adapters.loop.options import LoopOptions
from letta_adapters.loop.pumps import SETTLE_TIMEOUT, Listener, Over
from letta_adapters.loop.steps import Decision, Deny, LoopEvent, LoopResult, RoundFinished
from letta_adapters.loop.turns import AsyncToolLoop, ToolLoop, arun_turn, astream_turn, run_turn, stream_turn
from letta_adapters.loop.whole_turns import WholeTurn
from letta_adapters.tools import Tool

__all__ = [
    "ToolAnswer",
    "SETTLE_TIMEOUT",
    "AsyncToolLoop",
    "Decision",
    "Deny",
    "Listener",
    "LoopEvent",
    "LoopOptions",
    "LoopResult",
    "Over",
    "RoundFinished",
    "Tool",
    "ToolExecution",
    "ToolFinished",
    "ToolLoop",
    "ToolStarted",
    "WholeTurn",
    "arun_turn",
    "astream_turn",
    "run_turn",
    "stream_turn",
]
