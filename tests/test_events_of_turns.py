"""What an actor emits in a turn says which turn it was, and because of what; so do the last events of an approval."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubwire import GenericEvent, Hub, Turn, scope
from hubwire.approvals import ApprovalPolicy
from hubwire.errors import HubAborted, HubClosed
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, Recorder
from support import until_idle

KIND = "note.taken"


@pytest.mark.parametrize("how", ["emit", "emit_nowait", "emit_many", "batch", "child task"])
async def test_what_a_turn_emits_names_it(how: str) -> None:
    recorder = Recorder()

    async def act(turn: Turn) -> None:
        event = GenericEvent(kind=KIND)
        if how == "emit":
            await turn.hub.emit(event)
        elif how == "emit_nowait":
            turn.hub.emit_nowait(event)
        elif how == "emit_many":
            await turn.hub.emit_many([event])
        elif how == "batch":
            async with turn.hub.batch() as batch:
                batch.emit(event)
        else:
            await asyncio.create_task(turn.hub.emit(event))

    async with Hub(listeners=[recorder]) as hub:
        handle = await hub.spawn(act, name="worker")
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, handle.agent])
        with scope(session="s1"):
            posted = await channel.post(boss, "go")
        await recorder.wait_for("turn.ended")
        (noted,) = [each for each in recorder.events if each.kind == KIND]
        (started,) = [each for each in recorder.events if each.kind == "turn.started"]
    assert (noted.agent_id, noted.turn_id, noted.causation_id) == (handle.agent.id, started.turn_id, posted.id)
    assert noted.session_id == posted.session_id == "s1"


async def test_what_is_said_of_a_turn_stays() -> None:
    """By the event itself, or by a scope. What another agent's hub emits is not of this turn, nor what comes later."""
    recorder = Recorder()
    later: list[asyncio.Task[Any]] = []
    ended = asyncio.Event()

    async def act(turn: Turn) -> None:
        await turn.hub.emit(GenericEvent(kind=KIND, turn_id="mine", causation_id="because"))
        with scope(turn="inner"):
            await turn.hub.emit(GenericEvent(kind=KIND))
        await hub.acting_as("boss").emit(GenericEvent(kind=KIND))

        async def emit_later() -> None:
            await ended.wait()
            await turn.hub.emit(GenericEvent(kind=KIND))

        later.append(asyncio.create_task(emit_later()))

    async with Hub(listeners=[recorder]) as hub:
        handle = await hub.spawn(act, name="worker")
        boss = await hub.agents.register("boss")
        posted = await (await hub.channels.open([boss, handle.agent])).post(boss, "go")
        await recorder.wait_for("turn.ended")
        ended.set()
        await later[0]
        await hub.flush()
    noted = [(each.turn_id, each.causation_id) for each in recorder.events if each.kind == KIND]
    assert noted == [("mine", "because"), ("inner", posted.id), (None, None), (None, None)]


async def test_the_end_of_an_approval_says_where_it_belongs() -> None:
    """What is reported when a verdict has committed, and when it is used; also after a restart, from a snapshot."""
    store, recorder = MemoryStore(), Recorder()
    place = {"session_id": "s1", "turn_id": "t1", "tenant": "acme"}
    async with Hub(store, listeners=[recorder], snapshot_bytes=1000) as hub:
        coder = await hub.agents.register("coder")
        with scope(session="s1", turn="t1", tenant="acme"):
            approval_id = await hub.approvals.record(coder, "deploy", approver="ann", is_passed=True)
        logged = await recorder.wait_for("audit.logged")
        assert {name: getattr(logged, name) for name in place} == place
        for _ in range(30):
            await hub.emit(GenericEvent(kind=KIND, data={"text": "x" * 100}))
    recorder = Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        await hub.approvals.use(approval_id)
        used = await recorder.wait_for("approval.used")
        assert {name: getattr(used, name) for name in place} == place


@pytest.mark.parametrize("end", ["aclose", "abort"])
async def test_a_request_that_the_end_of_the_hub_overtakes_raises(end: str) -> None:
    """Its id would name what no approver can answer, or what is in no journal."""
    gate = Gate(is_open=False)

    class Scorer:
        async def score(self, _: object) -> float:
            await gate.pass_through()
            return 0.9

    async with Hub(MemoryStore(), approvals=ApprovalPolicy(scorer=Scorer()), close_seconds_max=0.2) as hub:
        coder = await hub.agents.register("coder")
        requested = asyncio.ensure_future(hub.approvals.request(coder, "deploy"))
        await until_idle()
        await getattr(hub, end)()
        with pytest.raises(HubClosed if end == "aclose" else HubAborted):
            await requested
