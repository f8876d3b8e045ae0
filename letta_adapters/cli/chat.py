"""`chat`: talk to an agent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated

import typer

from letta_adapters.cli.options import AgentArgument, AsJson, BaseUrl
from letta_adapters.cli.reporting import Output, connected
from letta_adapters.cli.telling import JsonLines, Talk, Teller
from letta_adapters.client import LettaClient
from letta_adapters.errors import LettaError, PendingApprovalError
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import Agent, ApprovalCreate, ApprovalReturn, InputMessage, MessageCreate

__all__ = ["chat"]

_NEWEST = 20
_NOT_OURS = "Nobody runs this tool here."


def chat(
    agent: AgentArgument,
    conversation: Annotated[
        str | None, typer.Option(metavar="CONVERSATION", help="One to go on with, or `default`; else a new one.")
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Talk to an agent: a line of stdin is a message, the end of stdin is the end.

    What it thinks, the tools that its server runs and what they give are shown as they come. A call that waits for a
    person is asked about. Ctrl-C leaves an answer, which goes on at the server. With --json, every event is a line.
    """
    with connected(base_url, as_json=as_json) as (client, output):
        Dialogue(client, output, client.agents.retrieve(agent), conversation).run()


class Dialogue:
    """A conversation between a person and an agent.

    Args:
        client: The server.
        output: Where it is told.
        agent: The agent.
        conversation_id: The conversation to go on with; without it, one is made for the first message.
    """

    def __init__(self, client: LettaClient, output: Output, agent: Agent, conversation_id: str | None) -> None:
        self._client = client
        self._output = output
        self._agent = agent
        self._conversation_id = conversation_id
        self._interactive = sys.stdin.isatty() and not output.as_json
        self._teller: Teller = JsonLines(output) if output.as_json else Talk(output)

    def run(self) -> None:
        """Talk until there is nothing more to say.

        Raises:
            ValueError: The conversation is another agent's.
            LettaError: A turn failed; a person at a terminal is told, and may go on.
        """
        if self._interactive:
            with suppress(ImportError):
                pass  # gives the prompt its editing keys
        if self._conversation_id is not None:
            self._check(self._conversation_id)
            self._attempt(self._decide_on_what_waits)
        while (line := self._read("you> ")) is not None:
            if line.strip():
                self._attempt(self._say, line)

    def _check(self, conversation_id: str) -> None:
        if conversation_id == "default":
            return
        owner = self._client.conversations.retrieve(conversation_id).agent_id
        if owner != self._agent.id:
            raise ValueError(f"{conversation_id} is a conversation of {owner}, not of {self._agent.id}.")

    def _attempt(self, act: Callable[..., None], *arguments: str) -> None:
        try:
            act(*arguments)
        except LettaError as error:
            if not self._interactive:
                raise
            self._output.error(error)
        except KeyboardInterrupt:
            if not self._interactive:
                raise
            self._output.note("Left. The answer goes on at the server; `letta-adapters history` shows it.")

    def _say(self, text: str) -> None:
        self._take_turn(MessageCreate(role="user", content=text))

    def _take_turn(self, message: InputMessage) -> None:
        """Send a message, and the decisions that it leads to."""
        answer: InputMessage | None = message
        while answer is not None:
            stream = self._client.conversations.messages.create(
                self._conversation(), messages=[answer], agent_id=self._agent.id
            )
            try:
                with stream:
                    for event in stream:
                        self._teller.tell(event)
                    turn = stream.result()
            except BaseException:
                self._teller.break_off()
                raise
            self._teller.finish(turn)
            answer = self._decide([(call.tool_call_id, call.name) for call in turn.pending])

    def _conversation(self) -> str:
        if self._conversation_id is None:
            self._conversation_id = self._client.conversations.create(agent_id=self._agent.id).id
            if not self._output.as_json:
                self._output.note(f"This is {self._conversation_id}.")
        return self._conversation_id

    def _decide_on_what_waits(self) -> None:
        rows = self._client.conversations.messages.list(
            self._conversation(), agent_id=self._agent.id, order="desc", limit=_NEWEST
        )
        calls = waiting_calls(newest_first(rows))
        for call in calls:
            self._output.note(f"A call waits: {call.name} {call.arguments}")
        decided = self._decide([(call.tool_call_id or "", call.name or "") for call in calls])
        if decided is not None:
            self._take_turn(decided)

    def _decide(self, calls: Sequence[tuple[str, str]]) -> ApprovalCreate | None:
        """Ask about every call; all are answered in one message.

        Raises:
            PendingApprovalError: Nobody is there to decide.
        """
        if not calls:
            return None
        own = {str(tool.get("name")) for tool in (self._agent.model_extra or {}).get("tools") or ()}
        return ApprovalCreate(approvals=[self._decision(call_id, name, own=name in own) for call_id, name in calls])

    def _decision(self, call_id: str, name: str, *, own: bool) -> ApprovalReturn:
        if not own:  # a tool of another program: nobody here can run it, and only whoever does may leave it open
            asked, reason = f"Deny {name}, a tool of another program? [y/N] ", _NOT_OURS
            if self._ask(asked, "deny"):
                return ApprovalReturn(tool_call_id=call_id, approve=False, reason=reason)
            raise self._waits(name)
        if self._ask(f"Let the server run {name}? [y/N] ", "approve"):
            return ApprovalReturn(tool_call_id=call_id, approve=True)
        reason = self._read("Why not? ") or None
        return ApprovalReturn(tool_call_id=call_id, approve=False, reason=reason)

    def _ask(self, question: str, word: str) -> bool:
        """Whether the next line says yes, or the word for it."""
        answer = self._read(question)
        if answer is None:
            raise self._waits("the agent's call")
        return answer.strip().lower() in ("y", "yes", word)

    def _waits(self, what: str) -> PendingApprovalError:
        return PendingApprovalError(
            f"Nobody decided on {what}, so the conversation waits.",
            hint=f"Go on with `--conversation {self._conversation_id}`, or deny it with `letta-adapters settle`.",
            agent_id=self._agent.id,
            conversation_id=self._conversation_id,
        )

    def _read(self, prompt: str) -> str | None:
        """The next line; `None` at the end. Prompts are for people."""
        if not self._interactive:
            return line.rstrip("\n") if (line := sys.stdin.readline()) else None
        try:
            return input(prompt)
        except EOFError:
            return None
