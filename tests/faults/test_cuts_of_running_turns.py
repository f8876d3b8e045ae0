"""Turns cut while the model still works on them: what follows the cut finds a turn that is in flight."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from letta_adapters import LettaClient
from letta_adapters.events import Text
from tests.conftest import Backend, fresh_agent
from tests.contract.build import new_gate
from tests.contract.wire import Wire
from tests.faults.dialogues import Dialogue
from tests.faults.proxy import Cut, End, FaultProxy, Where
from tests.faults.stage import Stage, exactly_once, play

CUTS = [Cut(end=end, at=at) for end in End for at in (Where.SENT, Where.ANSWERED, 100)]

each_cut = pytest.mark.parametrize("cut", CUTS, ids=str)


@pytest.fixture(params=[True, False], ids=["with redis", "without redis"])
def server(request: pytest.FixtureRequest, backend: Backend, no_redis_backend: Backend) -> Backend:
    return backend if request.param else no_redis_backend


@pytest.fixture
def held_stage(server: Backend) -> Iterator[Stage]:
    with FaultProxy(server.base_url) as proxy, Wire(server.base_url) as witness, fresh_agent(server) as agent_id:
        yield Stage(lane=proxy.lane(), agent_id=agent_id, witness=witness)


@pytest.fixture
def client(held_stage: Stage) -> Iterator[LettaClient]:
    """A client that knows the server."""
    with LettaClient(base_url=held_stage.lane.base_url) as opened:
        opened.conversations.messages.create(held_stage.new_conversation(), input="hello").result()
        yield opened


def held_at(gate: str) -> Dialogue:
    """A turn whose model waits after its first token."""
    asked = f"[[hold {gate} 1]] [[say one two three]]"
    return Dialogue(
        name="held",
        asked=asked,
        turns=((Text(index=0, text="one two three"),),),
        rows=([("user_message", asked), ("assistant_message", "one two three")],),
    )


@each_cut
def test_a_running_turn_that_is_cut_is_whole_and_stored_once(
    server: Backend, held_stage: Stage, client: LettaClient, cut: Cut
) -> None:
    gate = new_gate()
    dialogue = held_at(gate)
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(play, held_stage, client, dialogue, ((cut,),))
        server.wait_for_gate(gate)
        held_stage.lane.wait_for_more()
        server.open_gate(gate)
        played = playing.result()
    assert exactly_once(held_stage, dialogue, ((cut,),), played) == []
