"""What users and their programs do, as plain data: easy to make up, to shrink and to read in a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from letta_adapters.policies import OnRerun, SystemPolicy
from tests.properties.carrier import Fault

__all__ = [
    "Asking",
    "Bending",
    "Compact",
    "Configure",
    "Delete",
    "Edit",
    "Foreign",
    "Forge",
    "Insist",
    "Join",
    "Mishap",
    "Move",
    "Pinned",
    "Regenerate",
    "Restart",
    "Rewind",
    "Say",
    "Scenario",
    "Start",
    "Stranger",
    "Strip",
    "Switch",
    "System",
    "Together",
    "Trim",
    "Work",
]


@dataclass(frozen=True, kw_only=True)
class Mishap:
    """A delivery that goes wrong; `again`: the program then does the same once more, else it goes on without."""

    fault: Fault
    again: bool = True


@dataclass(frozen=True, kw_only=True)
class _OnDialogue:
    dialogue: int = 0


@dataclass(frozen=True, kw_only=True)
class Start:
    """Somebody begins another dialogue."""


@dataclass(frozen=True, kw_only=True)
class Say(_OnDialogue):
    """The user says something, and the program runs the tools until there is an answer.

    Args:
        agent: Which of two agents is asked.
        rounds: How many calls of client tools each round has; 0 is a call of the server's own tool.
        count: How many messages in a row.
        same: Whether these are the same words as always.
        same_id: Whether they have the same id as always, too.
        works: Whether the program runs tools; if not, calls stay open.
        compacts: Whether the server makes a summary after every answer of the model, in the midst of the turn.
        mishaps: What goes wrong, delivery by delivery.
    """

    agent: int = 0
    rounds: tuple[int, ...] = ()
    count: int = 1
    same: bool = False
    same_id: bool = False
    works: bool = True
    compacts: bool = False
    mishaps: tuple[Mishap | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Work(_OnDialogue):
    """The program gives results for calls that are open.

    Args:
        given: Which calls get a result.
        backwards: Whether the results are listed in the opposite order.
        twice: Whether the first result is listed twice.
        says: Whether the user says something in the same breath.
        mishaps: What goes wrong, delivery by delivery.
    """

    given: tuple[bool, ...] = (True, True, True)
    backwards: bool = False
    twice: bool = False
    says: bool = False
    mishaps: tuple[Mishap | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Regenerate(_OnDialogue):
    """The program asks again at an earlier point; `which` counts messages of users and tools from the end."""

    which: int = 0
    mishaps: tuple[Mishap | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Edit(_OnDialogue):
    """The user says something else instead of an earlier message, counted from the end."""

    which: int = 0
    keeps_id: bool = False
    mishaps: tuple[Mishap | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Insist(_OnDialogue):
    """The program asks for a call of a tool where the last word is the agent's; `obeys`: it makes one."""

    obeys: bool = False
    mishaps: tuple[Mishap | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rewind(_OnDialogue):
    """The program keeps a copy of the dialogue up to an earlier answer, counted from the end, as a dialogue."""

    which: int = 0


@dataclass(frozen=True, kw_only=True)
class Join(_OnDialogue):
    """The program puts what another dialogue has more behind this one, as a new dialogue, and the user goes on."""

    other: int = 1


@dataclass(frozen=True, kw_only=True)
class Foreign(_OnDialogue):
    """Another model answers a message of the user; with a tool of its own, and a last word, or not."""

    calls: bool = False


@dataclass(frozen=True, kw_only=True)
class System(_OnDialogue):
    """The program gives other instructions, in front or in the middle."""

    leading: bool = True


@dataclass(frozen=True, kw_only=True)
class Strip(_OnDialogue):
    """The metadata of every message gets lost."""


@dataclass(frozen=True, kw_only=True)
class Forge(_OnDialogue):
    """Somebody alters the anchor of an answer, counted from the end.

    Args:
        which: The answer.
        elsewhere: Whether it then leads to another conversation of the agent; else it waits for another call.
        signature: What becomes of its signature: it stays as it was, is left out, or is made with another key.
    """

    which: int = 0
    elsewhere: bool = True
    signature: Literal["stale", "none", "other"] = "stale"


@dataclass(frozen=True, kw_only=True)
class Trim(_OnDialogue):
    """The program keeps the last messages only."""

    keep: int = 2


@dataclass(frozen=True, kw_only=True)
class Delete(_OnDialogue):
    """Somebody deletes the conversation at the server."""


@dataclass(frozen=True, kw_only=True)
class Compact(_OnDialogue):
    """Somebody has the conversation summarized."""


@dataclass(frozen=True, kw_only=True)
class Stranger(_OnDialogue):
    """Another client says something in the conversation."""

    calls: bool = False


@dataclass(frozen=True, kw_only=True)
class Together(_OnDialogue):
    """The program goes on from one point in several ways at once.

    Args:
        count: How many.
        same: Whether they say the same: two deliveries of one transcript.
        calls: Whether the agent calls a tool in them.
        apart: Whether they are in two processes.
        schedule: Which of them does the next step, over and over.
    """

    count: int = 2
    same: bool = False
    calls: bool = False
    apart: bool = False
    schedule: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Restart:
    """The process ends in peace, and another one goes on."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Another process goes on; the two share nothing but the server."""


@dataclass(frozen=True, kw_only=True)
class Configure:
    """The program decides otherwise from here on; `ephemeral` where a transcript is followed."""

    system_messages: SystemPolicy = "once"
    on_divergence: Literal["append", "error"] | None = None
    ephemeral: bool = False


Asking = Say | Work | Regenerate | Edit | Insist | Join | Together
"""What the program asks for."""

Bending = Rewind | Foreign | System | Strip | Trim | Delete | Compact | Stranger | Forge
"""What happens to a transcript or a conversation between two deliveries."""

Move = Start | Restart | Switch | Configure | Asking | Bending


Pinned = Literal["conversation", "default"]
"""A conversation that somebody made, or the agent's own."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What users do, and where.

    Args:
        moves: What they do, one after the other.
        pinned: Whether all dialogues go to one conversation, which may be the agent's default one.
        redis: Whether the server streams in the background.
        cloud: Whether the server is as Letta Cloud is believed to be.
        ids: Whether the framework gives messages ids.
        threads: Whether the program says which thread a dialogue belongs to.
        parallel_calls: Whether the agent may call several tools at once.
        counts_calls: Whether the calls of every answer have the same ids.
        names: Whether users have names.
        parts: Whether most of what is said and given has images.
        signed: Whether anchors are signed.
        on_rerun: What becomes of a request that was sent before, in followed mode.
        rehearses: Whether every plan is made twice.
    """

    moves: tuple[Move, ...]
    pinned: Pinned | None = None
    redis: bool = True
    cloud: bool = False
    ids: bool = True
    threads: bool = False
    parallel_calls: bool = True
    counts_calls: bool = False
    names: bool = False
    parts: bool = False
    signed: bool = False
    on_rerun: OnRerun = "attach"
    rehearses: bool = False
