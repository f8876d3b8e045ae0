"""Which cuts are tried on a dialogue, and what came of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.dialogues import Dialogue
from tests.faults.proxy import Cut, End, Where

Cuts = tuple[Cut, ...]
"""The cuts of one turn, in a row."""

Plan = tuple[Cuts, ...]
"""The cuts of each turn of a dialogue."""


@dataclass(frozen=True, kw_only=True)
class Clean:
    """The answer to a turn that nothing cuts: its length, and where its stop reason ends."""

    size: int
    stop: int

    @classmethod
    def of(cls, body: bytes) -> Clean:
        return cls(size=len(body), stop=body.index(b"\n\n", body.index(b'"stop_reason"')) + 2)


@dataclass(kw_only=True)
class Report:
    """What was tried and what went wrong; each line of `wrong` names the cuts, so that it can be played again."""

    tried: list[Plan] = field(default_factory=list[Plan])
    wrong: list[str] = field(default_factory=list[str])

    @property
    def cut_turns(self) -> int:
        """How many turns were cut."""
        return sum(bool(cuts) for plan in self.tried for cuts in plan)

    def __str__(self) -> str:
        return "\n".join([f"{len(self.wrong)} of {len(self.tried)} dialogues went wrong", *self.wrong])

    def add(self, dialogue: Dialogue, plan: Plan, wrong: Iterable[str]) -> None:
        """Note a dialogue, and what is wrong with it; from any thread."""
        self.tried.append(plan)
        if text := "; ".join(wrong):
            self.wrong.append(f"{dialogue.name}, cut {told(plan)}: {text}")


def told(plan: Plan) -> str:
    """A plan in words."""
    return " / ".join(" then ".join(map(str, cuts)) or "not at all" for cuts in plan)


def single_cuts(clean: Clean, *, offsets: int, seed: str) -> Iterator[Cuts]:
    """Every end: before the body, at the edges of its parts and at so many bytes spread over it."""
    rng = random.Random(seed)
    edges = {0, 1, clean.stop - 1, clean.stop, clean.stop + 1, clean.size - 1, clean.size}
    for end in End:
        spread = [clean.size * step // offsets for step in range(offsets + 1)]
        within = [rng.randrange(low, high) for low, high in pairwise(spread)]
        yield from ((Cut(end=end, at=at),) for at in [*Where, *sorted(edges), *within])


def cuts_in_a_row(clean: Clean, *, count: int, seed: str) -> Iterator[Cuts]:
    """Two or three cuts, all of them before the stop reason: behind it, one more try is all that is promised."""
    rng = random.Random(seed)
    for number in range(count):
        room, cuts = clean.stop - 1, list[Cut]()
        for _ in range(2 + number % 2):
            at: Where | int = rng.randrange(room) if rng.random() < 0.6 else rng.choice([*Where])
            room -= at if isinstance(at, int) else 0
            cuts.append(Cut(end=rng.choice([*End]), at=at))
        yield tuple(cuts)


def single_plans(dialogue: Dialogue, lengths: Sequence[Clean], *, offsets: int, seed: str) -> list[Plan]:
    """One cut in every turn of the dialogue."""
    seeds = [f"{seed} {dialogue.name} {number}" for number in range(len(lengths))]
    turns = [single_cuts(clean, offsets=offsets, seed=own) for clean, own in zip(lengths, seeds, strict=True)]
    return list(zip(*turns, strict=True))


def row_plans(dialogue: Dialogue, lengths: Sequence[Clean], *, count: int, seed: str) -> list[Plan]:
    """Two or three cuts in every turn of the dialogue."""
    seeds = [f"{seed} {dialogue.name} {number}" for number in range(len(lengths))]
    turns = [cuts_in_a_row(clean, count=count, seed=own) for clean, own in zip(lengths, seeds, strict=True)]
    return list(zip(*turns, strict=True))
