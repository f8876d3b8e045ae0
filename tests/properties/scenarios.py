"""Makes scenarios up, out of phrases: moves that only mean something one after the other.

Small numbers everywhere: what matters is the order of things, and shrinking stays quick.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.properties import moves as m
from tests.properties.budget import PHRASES
from tests.properties.carrier import Fault

__all__ = [
    "APART",
    "BENDING",
    "BRANCHING",
    "BREAKING",
    "COMPACTING",
    "CONFIGURING",
    "FORGING",
    "INSISTING",
    "TALKING",
    "scenarios",
]

Phrases = st.SearchStrategy[tuple[m.Move, ...]]

_SMALL = st.integers(0, 2)
_FLAG = st.booleans()
_FOLLOWED = st.none()
_WITH_REDIS = st.just(True)
_ROUNDS = st.sampled_from([(), (), (), (1,), (2,), (0,), (1, 1), (3, 1), (0, 2)])
_NEWEST = -1
"""The dialogue that was begun last."""

_NETWORK = st.builds(
    Fault,
    kind=st.sampled_from(["crash", "crash", "leave", "down", "mute", "break"]),
    at=st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]),
    taken=_FLAG,
    cut=st.sampled_from([0, 150, 400, 900]),
    in_flight=_FLAG,
)
_PROVIDER = st.builds(Fault, kind=st.just("model"), at=st.sampled_from([0, 0, 1]))
_MISHAP = st.builds(m.Mishap, fault=st.one_of(_NETWORK, _NETWORK, _PROVIDER), again=_FLAG)
_MISHAPS = st.one_of(st.tuples(_MISHAP), st.tuples(_MISHAP, _MISHAP), st.tuples(st.none(), _MISHAP))

_SAY = st.builds(m.Say, dialogue=_SMALL, rounds=_ROUNDS)
_SAY_MORE = st.builds(
    m.Say, dialogue=_SMALL, rounds=_ROUNDS, count=st.integers(1, 2), works=_FLAG, agent=st.integers(0, 1)
)
_SAY_THE_SAME = st.builds(m.Say, dialogue=_SMALL, count=st.integers(1, 2), same=st.just(True), same_id=_FLAG)
_FOREIGN = st.builds(m.Foreign, dialogue=_SMALL, calls=_FLAG)
_SYSTEM = st.builds(m.System, dialogue=_SMALL, leading=_FLAG)
_BENDS: st.SearchStrategy[m.Bending] = st.one_of(
    st.builds(m.Strip, dialogue=_SMALL),
    st.builds(m.Trim, dialogue=_SMALL, keep=st.integers(1, 4)),
    st.builds(m.Delete, dialogue=_SMALL),
    st.builds(m.Compact, dialogue=_SMALL),
    st.builds(m.Stranger, dialogue=_SMALL, calls=_FLAG),
    _FOREIGN,
    _SYSTEM,
)


def _alone(moves: st.SearchStrategy[m.Move]) -> Phrases:
    return st.tuples(moves)


def _left_open(dialogue: int, work: m.Work) -> tuple[m.Move, ...]:
    return m.Say(dialogue=dialogue, rounds=(2, 1), works=False), work


def _then_says(bend: m.Bending) -> tuple[m.Move, ...]:
    return bend, m.Say(dialogue=bend.dialogue)


def _says_then(insist: m.Insist) -> tuple[m.Move, ...]:
    return m.Say(dialogue=insist.dialogue), insist


def _insists_twice(dialogue: int) -> tuple[m.Move, ...]:
    return m.Insist(dialogue=dialogue), m.Insist(dialogue=dialogue, obeys=True)


def _configured_says(configure: m.Configure, system: m.System, say: m.Say) -> tuple[m.Move, ...]:
    return configure, system, say


def _elsewhere_says(say: m.Say) -> tuple[m.Move, ...]:
    return m.Switch(), say


def _goes_two_ways(rewind: m.Rewind) -> tuple[m.Move, ...]:
    return rewind, m.Say(dialogue=rewind.dialogue), m.Say(dialogue=_NEWEST)


def _in_a_row(opening: tuple[m.Move, ...], phrases: list[tuple[m.Move, ...]]) -> tuple[m.Move, ...]:
    return opening + tuple(move for phrase in phrases for move in phrase)


_OPENING: Phrases = st.one_of(_alone(_SAY), _alone(_SAY), _alone(_SAY_MORE), st.just(()))

_WORK = st.builds(
    m.Work, dialogue=_SMALL, given=st.lists(_FLAG, max_size=3).map(tuple), backwards=_FLAG, twice=_FLAG, says=_FLAG
)
_OPEN = _SMALL.flatmap(lambda dialogue: st.builds(_left_open, st.just(dialogue), _WORK))
_RESTART = st.sampled_from([(m.Start(),), (m.Restart(),)])

TALKING: Phrases = st.one_of(
    _alone(_SAY), _alone(_SAY_MORE), _alone(_SAY_THE_SAME), _OPEN, _alone(_FOREIGN), _alone(_SYSTEM), _RESTART
)
"""Dialogues that only ever go on."""

BREAKING: Phrases = st.one_of(
    _alone(st.builds(m.Say, dialogue=_SMALL, rounds=_ROUNDS, mishaps=_MISHAPS, works=_FLAG)),
    _alone(st.builds(m.Say, dialogue=_SMALL, same=st.just(True), same_id=_FLAG, mishaps=_MISHAPS)),
    st.builds(_left_open, _SMALL, st.builds(m.Work, dialogue=_SMALL, says=_FLAG, mishaps=_MISHAPS)),
    st.builds(_then_says, st.builds(m.Stranger, dialogue=_SMALL, calls=_FLAG)),
    _alone(_SAY),
    _alone(_FOREIGN),
)
"""Dialogues in which processes die, connections break and providers fail."""

BENDING: Phrases = st.one_of(
    _alone(st.builds(m.Regenerate, dialogue=_SMALL, which=_SMALL)),
    _alone(st.builds(m.Edit, dialogue=_SMALL, which=_SMALL, keeps_id=_FLAG)),
    st.builds(_goes_two_ways, st.builds(m.Rewind, dialogue=_SMALL, which=_SMALL)),
    st.builds(_then_says, _BENDS),
    _alone(_SAY),
    _alone(_SAY_MORE),
)
"""Dialogues whose transcripts are edited, rewound, stripped and cut, and whose conversations others touch."""

BRANCHING: Phrases = st.one_of(
    _alone(
        st.builds(
            m.Together,
            dialogue=_SMALL,
            count=st.integers(2, 3),
            same=_FLAG,
            calls=_FLAG,
            schedule=st.lists(_SMALL, max_size=10).map(tuple),
        )
    ),
    _alone(st.builds(m.Join, dialogue=_SMALL, other=_SMALL)),
    st.builds(_goes_two_ways, st.builds(m.Rewind, dialogue=_SMALL, which=_SMALL)),
    _alone(_SAY),
)
"""Dialogues that go on in several ways at once, and come together again."""


INSISTING: Phrases = st.one_of(
    st.builds(
        _says_then,
        st.builds(m.Insist, dialogue=_SMALL, obeys=_FLAG, mishaps=st.one_of(st.just(()), st.just(()), _MISHAPS)),
    ),
    st.builds(_insists_twice, _SMALL),
    _alone(st.builds(m.Insist, dialogue=_SMALL, obeys=_FLAG)),
    _alone(_SAY),
    _alone(_FOREIGN),
)
"""Dialogues in which the program forces calls of tools."""

COMPACTING: Phrases = st.one_of(
    _alone(st.builds(m.Say, dialogue=_SMALL, rounds=_ROUNDS, works=_FLAG, compacts=st.just(True))),
    _alone(st.builds(m.Say, dialogue=_SMALL, rounds=_ROUNDS, works=_FLAG, compacts=st.just(True), mishaps=_MISHAPS)),
)
"""Dialogues whose older messages the server puts in a summary, in the midst of a turn."""

FORGING: Phrases = st.builds(
    _then_says,
    st.builds(
        m.Forge,
        dialogue=_SMALL,
        which=_SMALL,
        elsewhere=_FLAG,
        signature=st.sampled_from(["stale", "none", "other"]),
    ),
)
"""Dialogues of which somebody altered an anchor."""

CONFIGURING: Phrases = st.builds(
    _configured_says,
    st.builds(
        m.Configure,
        system_messages=st.sampled_from(["once", "override", "ignore"]),
        on_divergence=st.sampled_from([None, None, "append", "error"]),
        ephemeral=_FLAG,
    ),
    _SYSTEM,
    _SAY,
)
"""Programs that decide otherwise from here on."""

APART: Phrases = st.one_of(
    _alone(
        st.builds(
            m.Together,
            dialogue=_SMALL,
            count=st.integers(2, 3),
            same=_FLAG,
            calls=_FLAG,
            apart=st.just(True),
            schedule=st.lists(_SMALL, max_size=10).map(tuple),
        )
    ),
    st.builds(_elsewhere_says, _SAY),
)
"""Dialogues that two processes go on with, one after the other or both at once."""


def scenarios(
    *kinds: Phrases,
    most: int = PHRASES,
    pinned: st.SearchStrategy[m.Pinned | None] = _FOLLOWED,
    redis: st.SearchStrategy[bool] = _WITH_REDIS,
    ids: st.SearchStrategy[bool] = _FLAG,
    signed: st.SearchStrategy[bool] = _FLAG,
    counts_calls: st.SearchStrategy[bool] = _FLAG,
) -> st.SearchStrategy[m.Scenario]:
    """Scenarios that mostly begin with a question, and go on with phrases of some kinds.

    Args:
        kinds: The kinds.
        most: How many phrases at most.
        pinned: Whether all dialogues go to one conversation.
        redis: Whether the server streams in the background.
        ids: Whether messages have ids.
        signed: Whether anchors are signed.
        counts_calls: Whether the calls of every answer have the same ids.
    """
    phrases = st.lists(st.one_of(*kinds), min_size=1, max_size=most)
    return st.builds(
        m.Scenario,
        moves=st.builds(_in_a_row, _OPENING, phrases),
        pinned=pinned,
        redis=redis,
        ids=ids,
        threads=_FLAG,
        cloud=_FLAG,
        parallel_calls=_FLAG,
        counts_calls=counts_calls,
        names=_FLAG,
        parts=_FLAG,
        signed=signed,
        on_rerun=st.sampled_from(["attach", "attach", "attach", "fork"]),
        rehearses=st.sampled_from([True] + 9 * [False]),
    )
