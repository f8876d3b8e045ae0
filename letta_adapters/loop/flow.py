"""The order of things in a tool loop: what to send, what to ask, what to run, when to stop, what to leave behind.

`tool_loop` is a generator without I/O that yields what is to be done and is sent the outcome, or has an error thrown
where it stands; the pumps do it, blocking and async. However it ends, it yields what settles the calls of its own
tools before the error goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from letta_adapters.errors import (
    Conflict,
    ConversationBusy,
    PendingApprovalError,
    ToolLoopLimit,
    TurnInterrupted,
)
from letta_adapters.events import FinishedTurn, PendingCall
from letta_adapters.identity import Item, with_otids
from letta_adapters.loop.calls import Batch, ToolExecution, ToolRun
from letta_adapters.loop.steps import (
    Ask,
    Attach,
    Decision,
    Deny,
    Flow,
    LoopRequest,
    LoopResult,
    Read,
    Rows,
    Send,
    Step,
)
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import (
    Approval,
    ApprovalCreate,
    ApprovalResponseMessage,
    ApprovalReturn,
    UsageStatistics,
)

__all__ = ["tool_loop"]

_LOG = logging.getLogger("letta_adapters")

_MAX_LEFT_OPEN = 3
"""Times that one loop finds calls of others pending."""

_DENIED = "A person denied this call."
_GONE = "Nobody waits for this tool's result any more; whether it ran is not known."


def tool_loop(request: LoopRequest) -> Flow:
    """Yield what is to be done, be sent what came of it, return the result.

    Raises:
        LettaError: A request failed, or the loop cannot go on.
        BaseException: Whatever was thrown in.
    """
    return _Loop(request).run()


@dataclass(kw_only=True)
class _Round:
    """Calls that wait, and what is known of their answers."""

    turn: FinishedTurn
    batch: Batch = field(default_factory=lambda: Batch(runs=()))
    decisions: dict[str, Decision] = field(default_factory=dict[str, "Decision"])
    response: ApprovalResponseMessage | None = None
    sent: bool = False

    def answer(self, call: PendingCall, *, ours: bool) -> Approval | None:
        """The answer to a call, if there is one."""
        call_id = call.tool_call_id
        for stored in (self.response.approvals or ()) if self.response else ():
            if stored.tool_call_id == call_id:
                return stored
        for execution in self.batch.finished:
            if execution.tool_call_id == call_id:
                return execution.answer()
        decision = self.decisions.get(call_id)
        if decision is True:
            return None if ours else ApprovalReturn(tool_call_id=call_id, approve=True)
        return (
            None if decision is None else _denial(call_id, decision.reason if isinstance(decision, Deny) else _DENIED)
        )


def _denial(call_id: str, reason: str | None) -> ApprovalReturn:
    return ApprovalReturn(tool_call_id=call_id, approve=False, reason=reason)


class _Loop:
    def __init__(self, request: LoopRequest) -> None:
        self._request = request
        self._turns: list[FinishedTurn] = []
        self._executions: list[ToolExecution] = []
        self._usage: UsageStatistics | None = None
        self._round: _Round | None = None
        # Otids of the caller's own can bring back a turn of before, whose calls may have been answered meanwhile.
        self._repeatable = any(message.otid for message in request.messages)

    def run(self) -> Flow:
        try:
            turn = self._took((yield from self._begin()))
            for rounds in range(self._request.max_tool_rounds + 1):
                if not turn.pending:
                    self._check_shown(turn)
                    return self._result(turn.text)
                self._round = _Round(turn=turn)
                if rounds == self._request.max_tool_rounds:
                    raise self._limit(turn)
                direct = yield from self._answer(self._round)
                if direct is not None:
                    return self._result(direct, returned_direct=True)
                turn = yield from self._continue(self._round)
            raise AssertionError("the last round ends or raises")
        except GeneratorExit:
            raise
        except BaseException as error:
            yield from self._settle(error)
            raise

    # The rounds.

    def _begin(self) -> Generator[Step, Any, FinishedTurn]:
        """Send the message, and deny what was left open; whoever left it may be doing so at this very moment."""
        request, messages = self._request, self._request.messages
        for _ in range(_MAX_LEFT_OPEN):
            try:
                return (yield Send(messages=messages, max_steps=request.max_steps))
            except Conflict as error:
                answers = any(isinstance(message, ApprovalCreate) for message in request.messages)
                if answers or isinstance(error, ConversationBusy) or error.accepted is not False:
                    raise  # the caller answers by himself, or it is no matter of calls
                refused = error
            open_calls = _left_open((yield Read()))
            if open_calls and (
                request.on_pending_approval == "error" or any(self._is_foreign(call) for call in open_calls)
            ):
                raise self._pending(open_calls, refused.run_id) from refused
            denials = ApprovalCreate(approvals=[_denial(call.tool_call_id, _GONE) for call in open_calls])
            messages = (denials, *request.messages) if open_calls else request.messages
        return (yield Send(messages=messages, max_steps=request.max_steps))

    def _answer(self, round_: _Round) -> Generator[Step, Any, str | None]:
        """Find the answer to every call; give the text that ends the loop, if a tool's result is to do so."""
        turn, request = round_.turn, self._request
        if self._repeatable and (yield from self._recall(round_)):
            return None
        foreign = [call for call in turn.pending if self._is_foreign(call)]
        if foreign and request.asks == "nobody":
            raise self._pending(turn.pending, turn.run_id)
        for call in turn.pending if request.asks == "all" else foreign:
            round_.decisions[call.tool_call_id] = _checked((yield Ask(call=call)))
        runs = tuple(
            ToolRun(call=call, tool=request.tools[call.name])
            for call in turn.pending
            if not self._is_foreign(call) and round_.decisions.get(call.tool_call_id, True) is True
        )
        round_.batch = Batch(runs=runs)
        if runs:
            yield round_.batch
        self._executions.extend(round_.batch.finished)
        direct = [one.text for one in round_.batch.finished if self._ends_the_loop(one)]
        if not direct:
            return None
        round_.sent = True
        settled: FinishedTurn = yield Send(messages=(self._approval(round_),), max_steps=1, settling=True)
        self._usage = _sum(self._usage, settled.usage)
        self._round = None
        return "\n".join(direct)

    def _continue(self, round_: _Round) -> Generator[Step, Any, FinishedTurn]:
        step: Step = Send(messages=(self._approval(round_),), max_steps=self._request.max_steps)
        if round_.response is not None and round_.response.run_id is not None:
            # What is stored is not always what was sent: a long result is clipped, an image left out (measured).
            step = Attach(run_id=round_.response.run_id, otherwise=step)
        round_.sent = True
        turn: FinishedTurn = yield step
        self._round = None
        return self._took(turn)

    def _recall(self, round_: _Round) -> Generator[Step, Any, bool]:
        """Find out whether the calls were answered before, so that no tool runs again."""
        round_.response = yield from self._response_to(round_.turn)
        return round_.response is not None

    def _response_to(
        self, turn: FinishedTurn, *, settling: bool = False
    ) -> Generator[Step, Any, ApprovalResponseMessage | None]:
        """What answers the calls of a turn at the server; of an unknown id a server lists the oldest rows."""
        rows: Rows = yield Read(after=turn.message_ids[-1], settling=settling)
        asked = {call.tool_call_id for call in turn.pending}
        for row in rows:
            if isinstance(row, ApprovalResponseMessage) and asked == {one.tool_call_id for one in row.approvals or ()}:
                return row
        return None

    def _approval(self, round_: _Round, *, settling: str = "") -> ApprovalCreate:
        """All answers in one message; its otid is the same whenever the same is answered to the same calls."""
        answers: list[Approval] = []
        for call in round_.turn.pending:
            answer = round_.answer(call, ours=not self._is_foreign(call))
            answers.append(answer or _denial(call.tool_call_id, settling))
        (message,) = with_otids(
            [Item(message=ApprovalCreate(approvals=answers), position=0)],
            scope=(
                "settle" if settling else "tool loop",
                self._request.agent_id,
                self._request.conversation_id,
                round_.turn.run_id,
            ),
            nonce="",
            repeatable=True,
        )
        return cast("ApprovalCreate", message)

    # However it ends.

    def _settle(self, error: BaseException) -> Generator[Step, Any, None]:
        """Answer the calls of our tools: with results where there are some, else with denials; no model is called."""
        round_ = self._round
        if round_ is None or isinstance(error, TurnInterrupted):
            return  # the answers may be on their way; answering again would make the server tell the agent so
        undecided = [call for call in round_.turn.pending if self._is_foreign(call)]
        if any(call.tool_call_id not in round_.decisions for call in undecided):
            return  # all calls are answered at once or none, and somebody's decision is never taken for them
        try:
            if round_.sent and (yield from self._response_to(round_.turn, settling=True)) is not None:
                return
            approval = self._approval(round_, settling=_reason(error))
            yield Send(messages=(approval,), max_steps=1, settling=True)
        except Exception as trouble:
            _LOG.warning(
                "The pending tool calls of conversation %s could not be settled: %s",
                self._request.conversation_id,
                trouble,
            )

    # What the rounds come to.

    def _took(self, turn: FinishedTurn) -> FinishedTurn:
        self._turns.append(turn)
        self._usage = _sum(self._usage, turn.usage)
        return turn

    def _result(self, text: str, *, returned_direct: bool = False) -> LoopResult:
        return LoopResult(
            conversation_id=self._request.conversation_id,
            text=text,
            turns=tuple(self._turns),
            executions=tuple(self._executions),
            usage=self._usage,
            returned_direct=returned_direct,
        )

    def _is_foreign(self, call: PendingCall) -> bool:
        """Whether a call is none of our tools: one that the server runs once a person agrees."""
        return call.name not in self._request.tools

    def _ends_the_loop(self, execution: ToolExecution) -> bool:
        return execution.status == "success" and self._request.tools[execution.name].return_direct

    # What is raised.

    def _limit(self, turn: FinishedTurn) -> ToolLoopLimit:
        limit = self._request.max_tool_rounds
        waits = any(self._is_foreign(call) for call in turn.pending)
        return ToolLoopLimit(
            f"The agent called tools in more than {limit} rounds, the limit of `max_tool_rounds`.",
            result=self._result(turn.text),
            hint="The last calls wait for a person's decision."
            if waits
            else "Its last calls were denied; ask it again.",
            stop_reason=turn.stop_reason,
            accepted=True,
            **self._ids(turn.run_id),
        )

    def _check_shown(self, turn: FinishedTurn) -> None:
        if turn.stop_reason == "requires_approval":
            raise PendingApprovalError(
                "The agent waits for the answer to a call that the server did not show.",
                hint="Read the conversation: its last message has the call.",
                accepted=True,
                **self._ids(turn.run_id),
            )

    def _pending(self, calls: Sequence[PendingCall], run_id: str | None) -> PendingApprovalError:
        told = [call for call in calls if self._is_foreign(call)] or calls
        named = ", ".join(f"{call.name}({call.arguments}) [{call.tool_call_id}]" for call in told)
        return PendingApprovalError(
            f"The agent waits for a decision on {named}; nothing was run.",
            pending=tuple(
                {"tool_call_id": call.tool_call_id, "name": call.name, "arguments": call.arguments} for call in calls
            ),
            hint=(
                "Pass `on_approval` to decide on calls of this turn; calls that were left open before it are denied by "
                "`client.conversations.settle(...)`, or answered all in one `approval` message: the tools of the "
                "server with `approve` true or false, those of a client with results or denials."
            ),
            accepted=bool(self._turns),
            **self._ids(run_id),
        )

    def _ids(self, run_id: str | None) -> dict[str, Any]:
        request = self._request
        return {"agent_id": request.agent_id, "conversation_id": request.conversation_id, "run_id": run_id}


def _checked(decision: Any) -> Decision:
    if isinstance(decision, (bool, Deny)):
        return decision
    raise TypeError(f"`on_approval` gives True, False or `Deny(reason=…)`, not {decision!r}.")


def _reason(error: BaseException) -> str:
    if isinstance(error, ToolLoopLimit):
        return "No more tools can be called in this turn: the limit of rounds is reached."
    return f"The tool was not run to its end ({type(error).__name__})."


def _left_open(rows: Rows) -> tuple[PendingCall, ...]:
    """The calls that a conversation waits with, out of its newest rows."""
    return tuple(
        PendingCall(
            index=index, tool_call_id=call.tool_call_id or "", name=call.name or "", arguments=call.arguments or ""
        )
        for index, call in enumerate(waiting_calls(newest_first(rows)))
    )


_SUMMED = ("prompt_tokens", "completion_tokens", "total_tokens", "step_count")
_SUMMED_WHERE_TOLD = ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


def _sum(one: UsageStatistics | None, other: UsageStatistics | None) -> UsageStatistics | None:
    if one is None or other is None:
        return one or other
    total: dict[str, Any] = {name: getattr(one, name) + getattr(other, name) for name in _SUMMED}
    for name in _SUMMED_WHERE_TOLD:
        told = [value for value in (getattr(one, name), getattr(other, name)) if value is not None]
        total[name] = sum(told) if told else None
    context = other.context_tokens if other.context_tokens is not None else one.context_tokens
    return UsageStatistics(**total, context_tokens=context)
