"""Rule 8: what follows the anchor is read while other turns are kept away, page by page until it tells what to do."""

from __future__ import annotations

import pytest

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.delivery_steps import Claim, Flow, Pause
from letta_adapters.errors import Divergence, NotFound
from letta_adapters.matching import Row
from letta_adapters.policies import Policies
from letta_adapters.transcript import AssistantEntry, Entry, HumanEntry
from letta_adapters.wire import AssistantMessage, Run, ToolReturnMessage
from tests.delivery.dialogues import BEFORE, MESSAGES, NEXT, answer, of_strangers, rows_of
from tests.delivery.flows import (
    FOLLOWED,
    GONE,
    PINNED,
    PROMPT,
    asked,
    asks_for_runs,
    begin,
    claim,
    conversation,
    finish,
    knowing,
    query,
    refused,
    sent,
    told,
)

APPEND = Policies(on_divergence="append")
MORE: list[Entry] = [*NEXT, HumanEntry(content="three", id="h3")]


def looking(transcript: list[Entry] = NEXT, *, policies: Policies | None = None) -> tuple[Flow, object]:
    """A delivery that asks for what follows the anchor."""
    flow = begin(transcript, FOLLOWED, policies=policies, memory=knowing())
    return flow, claim(flow, next(flow))


def settled(number: int) -> list[Row]:
    """Rows that are no news, each of a run that did nothing but answer calls."""
    return [
        ToolReturnMessage(
            id=f"message-r-{one}", tool_call_id="call-9", tool_return="x", status="error", run_id=f"run-r-{one}"
        )
        for one in range(number)
    ]


# One page.


def test_what_follows_the_anchor_is_asked_for_oldest_first_and_bounded() -> None:
    _, step = looking()
    assert asked(step) == MESSAGES
    assert query(step) == {"agent_id": "agent-1", "after": "message-1", "order": "asc", "limit": 100}


def test_a_message_after_the_anchor_is_sent_there_and_follows_it() -> None:
    flow, _ = looking()
    turn = sent(flow.send([]))
    assert (turn.conversation_id, turn.after, turn.stored_run_id) == ("conv-1", "message-1", None)


def test_the_conversation_is_claimed_before_it_is_read() -> None:
    step = next(begin(NEXT, FOLLOWED))
    assert isinstance(step, Claim)
    assert (step.conversation_id, step.agent_id) == ("conv-1", "agent-1")


def test_a_rerun_names_the_run_that_is_to_be_read_back() -> None:
    flow, _ = looking()
    assert sent(flow.send(rows_of())).stored_run_id == "run-2"


def test_another_way_that_is_an_error_sends_nothing() -> None:
    flow, _ = looking(policies=Policies(on_divergence="error"))
    assert asked(flow.send(of_strangers())) == ("GET", "/v1/conversations/conv-1")
    with pytest.raises(Divergence) as caught:
        flow.send(conversation("conv-1", "message-p", "message-1", "message-x-0"))
    assert (caught.value.agent_id, caught.value.conversation_id) == ("agent-1", "conv-1")


def test_old_rows_that_are_listed_as_new_ones_are_no_error() -> None:
    flow, _ = looking(policies=Policies(on_divergence="error"))
    flow.send(of_strangers())
    assert told(flow.send(conversation("conv-1", "message-p", "message-1"))) == ["two"]


# Several pages.


def test_a_full_page_that_does_not_tell_is_followed_by_the_next_one() -> None:
    flow, _ = looking()
    step = flow.send(settled(100))
    assert asked(step) == MESSAGES
    assert query(step)["after"] == "message-r-99"
    assert told(flow.send([])) == ["two"]


def test_what_the_pages_hold_is_seen_together() -> None:
    flow, _ = looking(MORE)
    flow.send([*settled(100 - 2), *rows_of()])
    assert asks_for_runs(flow.send([]))
    flow.send([])
    flow.send([*settled(100 - 2), *rows_of()])
    assert told(flow.send([])) == ["three"]


def test_what_is_there_in_part_is_read_again_once_nothing_is_in_flight() -> None:
    """It may be the beginning of a turn that has stored the rest meanwhile."""
    flow, _ = looking(MORE)
    assert asks_for_runs(flow.send(rows_of()))
    assert asked(flow.send([])) == MESSAGES
    assert sent(flow.send(rows_of(MORE))).stored_run_id == "run-2"


def test_what_is_there_in_part_is_waited_for_while_its_turn_is_in_flight() -> None:
    flow, _ = looking(MORE)
    flow.send(rows_of())
    assert isinstance(flow.send([Run(id="run-2", status="running", conversation_id="conv-1")]), Pause)


@pytest.mark.parametrize("rows", [[*rows_of(), *settled(98)], settled(99)], ids=["sent before", "not full"])
def test_a_page_that_tells_or_is_the_last_is_the_only_one(rows: list[Row]) -> None:
    flow, _ = looking()
    assert sent(flow.send(rows)).conversation_id == "conv-1"


def test_a_stranger_on_the_first_page_ends_the_reading_of_pages() -> None:
    flow, _ = looking()
    assert asked(flow.send(of_strangers(100))) == ("GET", "/v1/conversations/conv-1")


def test_what_is_appended_is_looked_for_behind_the_turns_of_others() -> None:
    flow, _ = looking(policies=APPEND)
    assert query(flow.send(of_strangers(100)))["after"] == "message-x-99"
    assert sent(flow.send(rows_of())).stored_run_id == "run-2"


def test_reading_on_has_an_end() -> None:
    flow, step = looking(policies=APPEND)
    pages = 0
    while isinstance(step, Endpoint):
        step = flow.send(of_strangers(100, first=100 * pages))
        pages += 1
    assert pages == 50
    assert told(step) == ["two"]


# Something is gone.


def test_a_page_that_begins_with_the_conversation_means_that_the_anchor_is_gone() -> None:
    flow, _ = looking()
    assert asked(flow.send([PROMPT, *of_strangers()])) == ("POST", "/v1/conversations/")
    turn = flow.send(conversation("conv-2"))
    assert (sent(turn).conversation_id, told(turn)) == ("conv-2", ["one", "1", "two"])


def test_an_empty_page_after_an_anchor_is_trusted_and_a_refusal_then_tells() -> None:
    flow, _ = looking()
    flow.send([])
    assert asked(flow.send(refused())) == ("GET", "/v1/conversations/conv-1")
    assert asked(flow.throw(GONE)) == ("POST", "/v1/conversations/")
    assert told(flow.send(conversation("conv-2"))) == ["one", "1", "two"]


def test_a_refusal_for_something_else_that_is_missing_is_told() -> None:
    flow, _ = looking()
    flow.send([])
    assert asked(flow.send(refused())) == ("GET", "/v1/conversations/conv-1")
    with pytest.raises(NotFound):
        flow.send(conversation("conv-1"))


def test_pinned_a_conversation_that_is_gone_is_an_error() -> None:
    flow = begin([*NEXT, HumanEntry(content="three")], PINNED)
    claim(flow, next(flow))
    with pytest.raises(NotFound, match="message-1") as caught:
        flow.send([PROMPT])
    assert caught.value.conversation_id == "conv-1"


def test_pinned_a_refusal_is_told_without_a_look() -> None:
    flow = begin(NEXT, PINNED)
    next(flow)
    with pytest.raises(NotFound):
        flow.send(refused())


def test_of_a_transcript_with_two_conversations_the_one_that_is_left_goes_on() -> None:
    elsewhere = answer("2", conversation_id="conv-2", message_id="message-2")
    flow = begin([*NEXT, elsewhere, HumanEntry(content="three", id="h3")], FOLLOWED, memory=knowing())
    claim(flow, next(flow))
    step = flow.send([PROMPT])  # conv-2, whose answer is the last one
    assert asked(claim(flow, step)) == MESSAGES
    assert told(flow.send([])) == ["two", "2", "three"]


def test_a_conversation_that_was_told_everything_and_is_refused_too_is_told_of_once() -> None:
    flow, _ = looking()
    flow.send([PROMPT])
    flow.send(conversation("conv-2"))
    assert asked(flow.send(refused())) == ("DELETE", "/v1/conversations/conv-2")  # made for this turn alone
    with pytest.raises(NotFound):
        flow.throw(GONE)


# An empty page, which after a compaction may hide what is new.


def test_an_empty_page_is_trusted_by_the_process_that_gave_the_last_answer() -> None:
    flow, _ = looking()
    assert told(flow.send([])) == ["two"]


def test_another_process_asks_whether_the_anchor_is_the_last_message_that_the_model_sees() -> None:
    flow = begin(NEXT, FOLLOWED)
    claim(flow, next(flow))
    assert asked(flow.send([])) == ("GET", "/v1/conversations/conv-1")
    assert told(flow.send(conversation("conv-1", "message-p", "message-1"))) == ["two"]


def test_a_process_that_gave_an_old_answer_again_does_not_take_it_for_the_last() -> None:
    memory = knowing("message-0")
    flow = begin(NEXT, FOLLOWED, memory=memory)
    claim(flow, next(flow))
    assert sent(flow.send(rows_of())).stored_run_id == "run-2"
    given_again = finish(flow)
    later: list[Entry] = [*NEXT, AssistantEntry(text="2", anchor=given_again.anchor), MORE[-1]]
    again = begin(later, FOLLOWED, memory=memory)
    claim(again, next(again))
    assert asked(again.send([])) == ("GET", "/v1/conversations/conv-1")


def test_what_the_page_did_not_show_is_read_among_the_newest_rows() -> None:
    flow = begin(NEXT, FOLLOWED)
    claim(flow, next(flow))
    flow.send([])
    step = flow.send(conversation("conv-1", "message-p", "message-s", "message-run-2-0", "message-run-2-answer"))
    assert query(step) == {"agent_id": "agent-1", "order": "desc", "limit": 100}
    step = flow.send(rows_of()[::-1])
    assert query(step) == {"conversation_id": "conv-1", "order": "desc", "limit": 100}
    assert sent(flow.send([Run(id="run-2"), Run(id="run-1")])).stored_run_id == "run-2"


def test_what_came_after_an_anchor_that_was_summed_up_is_found_by_its_runs() -> None:
    """The summary took the question with the anchor; it is not to be asked again."""
    flow = begin(NEXT, FOLLOWED)
    claim(flow, next(flow))
    flow.send([])
    flow.send(conversation("conv-1", "message-p", "message-s"))
    flow.send(rows_of()[::-1])
    assert sent(flow.send([Run(id="run-2"), Run(id="run-1")])).stored_run_id == "run-2"


def test_a_conversation_that_lists_nothing_and_is_not_there_is_gone() -> None:
    flow = begin(NEXT, FOLLOWED)
    claim(flow, next(flow))
    flow.send([])
    assert asked(flow.throw(GONE)) == ("POST", "/v1/conversations/")
    assert told(flow.send(conversation("conv-2"))) == ["one", "1", "two"]


def test_what_no_page_shows_is_a_reason_to_leave() -> None:
    flow = begin(NEXT, FOLLOWED)
    claim(flow, next(flow))
    flow.send([])
    flow.send(conversation("conv-1", "message-p", "message-1", "message-y"))
    assert asked(flow.send([])) == ("GET", "/v1/conversations/")


def test_after_its_own_answer_a_process_knows_the_last_message() -> None:
    memory = knowing("message-0")
    flow = begin(NEXT[:1], FOLLOWED, memory=memory)
    next(flow)
    flow.send(conversation("conv-1"))
    finish(flow)
    again = begin(NEXT, FOLLOWED, memory=memory)
    claim(again, next(again))
    assert told(again.send([])) == ["two"]


# A closer look, since a list shows old rows as new ones after a compaction.


def test_rows_that_are_not_in_context_any_more_are_no_reason_to_leave() -> None:
    flow, _ = looking()
    assert asked(flow.send(of_strangers())) == ("GET", "/v1/conversations/conv-1")
    turn = flow.send(conversation("conv-1", "message-p", "message-1"))
    assert (sent(turn).conversation_id, told(turn)) == ("conv-1", ["two"])


def test_what_is_in_context_and_was_not_listed_is_read_among_the_newest_rows() -> None:
    flow, _ = looking()
    flow.send(of_strangers())
    step = flow.send(conversation("conv-1", "message-p", "message-1", "message-run-2-0", "message-run-2-answer"))
    assert query(step) == {"agent_id": "agent-1", "order": "desc", "limit": 100}
    assert sent(flow.send(rows_of()[::-1])).stored_run_id == "run-2"


def test_rows_that_are_in_context_are_a_reason_to_leave() -> None:
    flow, _ = looking()
    flow.send(of_strangers())
    step = flow.send(conversation("conv-1", "message-p", "message-1", "message-x-0"))
    assert asked(step) == ("GET", "/v1/conversations/")  # a fork that was made for it before


def test_default_has_no_context_to_be_read_so_its_rows_are_believed() -> None:
    flow = begin([BEFORE[0], answer("1", conversation_id="default"), NEXT[-1]], FOLLOWED)
    claim(flow, next(flow))
    assert asked(flow.send(of_strangers())) == ("GET", "/v1/conversations/")


def test_an_answer_of_the_anchors_own_run_is_no_stranger() -> None:
    flow, _ = looking()
    row = AssistantMessage(id="message-2", content="and", run_id="run-1")
    assert told(flow.send([row])) == ["two"]
