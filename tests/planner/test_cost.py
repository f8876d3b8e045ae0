"""What a turn costs does not grow with the dialogue: counted, never timed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Claim
from letta_adapters.memory import TurnMemory
from letta_adapters.planner import Target, plan
from letta_adapters.policies import Policies
from letta_adapters.transcript import AssistantEntry, Entry, Transcript
from letta_adapters.wire import Conversation
from tests.planner.dialogue import FOLLOWED, PINNED, anchor, following, foreign, human, ours, result, system

EARLY, LATE = 2, 1000


def dialogue(turns: int, *new: Entry, pending: Sequence[str] = ()) -> list[Entry]:
    """A dialogue in its nth turn; the messages of every turn are as long as those of any other."""
    hash = plan([system("be kind"), human("a")], FOLLOWED).system_hash
    entries: list[Entry] = [system("be kind")]
    for turn in range(1, turns):
        entries.append(human(f"question {turn:04}", id=f"h-{turn:04}"))
        last = turn == turns - 1
        where = anchor(*(pending if last else ()), message_id=f"message-{turn:04}", system_hash=hash, knew=entries[1:])
        entries.append(ours("x" * 100, *(pending if last else ()), where=where))
    return [*entries, *new]


class Looks:
    """Counts the messages that are looked at."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.count = 0
        self.transcript = Transcript(entries, self._translated)

    def _translated(self, entry: Entry, _: int) -> Entry:
        self.count += 1
        return entry


ONE_MESSAGE: tuple[Entry, ...] = (human("and now?", id="h-last"),)
NO_ID: tuple[Entry, ...] = (human("and now?"),)
RESULTS: tuple[Entry, ...] = (result("call-1"), result("call-2", "4"))
NEWS = pytest.mark.parametrize(
    ("new", "pending"),
    [(ONE_MESSAGE, ()), (NO_ID, ()), (RESULTS, ("call-1", "call-2"))],
    ids=["a message", "a message without an id", "results"],
)
TARGETS = pytest.mark.parametrize("target", [FOLLOWED, PINNED], ids=["followed", "pinned"])


PAGE = ("/v1/conversations/conv-1/messages", 100)
CONTEXT = ("/v1/conversations/conv-1", None)


def cost(target: Target, entries: Sequence[Entry], *, knows_head: bool = True) -> tuple[int, list[tuple[str, object]]]:
    """The bytes of the request, and what was asked for before it.

    A process that gave the last answer knows that nothing followed it; another one has to ask.
    """
    head = [entry.anchor.message_id or "" for entry in entries if isinstance(entry, AssistantEntry) and entry.anchor]
    memory = TurnMemory()
    if knows_head:
        memory.keep_head(("http://letta.test", "conv-1"), head[-1])
    flow = delivery(entries, target, server="http://letta.test", memory=memory)
    asked: list[tuple[str, object]] = []
    step = next(flow)
    while not isinstance(step, PreparedTurn):
        answer: object = None
        if isinstance(step, Endpoint):
            asked.append((step.request.path, dict(step.request.query).get("limit")))
            whole = Conversation(id="conv-1", agent_id="agent-1", in_context_message_ids=["message-p", head[-1]])
            answer = whole if step.request.path.endswith("conv-1") else []
        else:
            assert isinstance(step, Claim)
        step = flow.send(answer)
    assert step.request is not None
    return len(step.request.to_json()), asked


@NEWS
@TARGETS
def test_at_turn_1000_the_request_is_as_large_as_at_turn_2_and_as_much_is_asked_for(
    target: Target, new: tuple[Entry, ...], pending: Sequence[str]
) -> None:
    late = cost(target, dialogue(LATE, *new, pending=pending))
    assert late == cost(target, dialogue(EARLY, *new, pending=pending))
    assert late[0] < 1000


@NEWS
def test_following_reads_one_page_of_bounded_size(new: tuple[Entry, ...], pending: Sequence[str]) -> None:
    assert cost(FOLLOWED, dialogue(LATE, *new, pending=pending))[1] == [PAGE]


def test_a_process_that_did_not_give_the_last_answer_asks_whether_it_is_the_last_message() -> None:
    late, early = (cost(FOLLOWED, dialogue(turn, *ONE_MESSAGE), knows_head=False) for turn in (LATE, EARLY))
    assert late == early
    assert late[1] == [PAGE, CONTEXT]


def test_pinned_one_new_message_is_sent_without_reading_anything() -> None:
    assert cost(PINNED, dialogue(LATE, *ONE_MESSAGE))[1] == []


def test_the_request_grows_by_what_the_message_grows_by() -> None:
    short, long = (cost(FOLLOWED, dialogue(LATE, human("y" * size, id="h-last")))[0] for size in (1, 5001))
    assert long - short == 5000


@NEWS
@TARGETS
def test_the_planner_looks_at_what_is_new_and_at_nothing_else(
    target: Target, new: tuple[Entry, ...], pending: Sequence[str]
) -> None:
    looks = Looks(dialogue(LATE, *new, pending=pending))
    plan(looks.transcript, target)
    beginning_and_anchor = 3
    assert looks.count <= beginning_and_anchor + len(new)


def test_planning_again_with_what_was_read_looks_at_nothing_more() -> None:
    looks = Looks(dialogue(LATE, *ONE_MESSAGE))
    plan(looks.transcript, FOLLOWED)
    before = looks.count
    plan(looks.transcript, FOLLOWED, seen=following(), policies=Policies(on_divergence="error"))
    assert looks.count == before


def test_foreign_turns_after_the_anchor_are_looked_at_once_each() -> None:
    tail = [foreign("x"), human("y")] * 100
    looks = Looks(dialogue(LATE, *tail))
    plan(looks.transcript, FOLLOWED)
    assert looks.count == 3 + len(tail)
