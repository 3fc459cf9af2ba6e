"""What state machines are made of can be kept and read back: see hubwire._state.Machine."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import partial
from typing import Any

import anyio
import attrs
import msgspec
import pytest
from anyio import wait_all_tasks_blocked

from hubwire import ApprovalPolicy, Hub, InboxOverflow, InboxRule, Passport, Resume, Turn
from hubwire._commands.seats import SeatCommands
from hubwire._journal.entries import decode_entry, encode_entry
from hubwire._state import State
from hubwire.approvals import ChallengeKind, FunctionApprover, RiskLevel
from hubwire.errors import InvalidRecord
from hubwire.events import (
    EnvelopePosted,
    Event,
    FollowerCommanded,
    FrozenDict,
    ToolCalled,
    ToolCompleted,
    TurnCommitted,
    canonical,
    evolve,
)
from hubwire.testing import Recorder


class Mood(Enum):
    CALM = "calm"


@attrs.frozen
class Inner:
    name: str
    payload: Any = None


@attrs.frozen
class Entry:
    """One field of every sort that the convention allows."""

    text: str
    number: int
    ratio: float
    mood: Mood
    words: tuple[str, ...]
    tags: frozenset[str]
    inner: Inner
    inners: tuple[Inner, ...]
    rules: Mapping[str, Any]
    payload: Any
    nothing: str | None
    perhaps: Inner | None
    either: float | str | None
    pairs: tuple[tuple[str, int], ...]
    envelope: EnvelopePosted | None
    envelopes: tuple[EnvelopePosted, ...] = ()
    late_mood: Mood | None = None


ENVELOPE = EnvelopePosted(
    seq=3,
    id="x",
    at="2026-01-01T00:00:00.000000Z",
    hub="h",
    channel_id="c",
    envelope_id="e",
    content=canonical({"text": "a\u2028b", "list": [1, 2.5, None]}),
    recipients=("a", "b"),
)
ENTRY = Entry(
    text="a",
    number=1,
    ratio=2.0,
    mood=Mood.CALM,
    words=("x", "y"),
    tags=frozenset({"b", "a"}),
    inner=Inner("inner", canonical({"deep": [1]})),
    inners=(Inner("one"), Inner("two")),
    rules=canonical({"k": [1, {"l": 2}]}),
    payload=canonical([{"a": 1}]),
    nothing=None,
    perhaps=Inner("perhaps"),
    either="or",
    pairs=(("a", 1), ("b", 2)),
    envelope=ENVELOPE,
    envelopes=(ENVELOPE, ENVELOPE),
    late_mood=Mood.CALM,
)


def through_json(entry: Any) -> Any:
    return decode_entry(type(entry), msgspec.json.decode(msgspec.json.encode(encode_entry(entry))))


def test_an_entry_is_read_back() -> None:
    read: Entry = through_json(ENTRY)
    assert read == ENTRY
    assert type(read.rules) is FrozenDict
    assert isinstance(read.payload, tuple)
    assert type(read.payload[0]) is FrozenDict
    assert isinstance(read.envelope, EnvelopePosted)


def test_a_set_is_kept_sorted() -> None:
    """Equal states have equal snapshots."""
    one, other = (attrs.evolve(ENTRY, tags=frozenset(tags)) for tags in ("abcdefgh", "hgfedcba"))
    assert msgspec.json.encode(encode_entry(one)) == msgspec.json.encode(encode_entry(other))


def test_a_field_may_hold_a_substitute() -> None:
    """The marked substitute of what JSON cannot hold."""
    entry = attrs.evolve(ENTRY, text=canonical("a\ud800b"), ratio=canonical(float("nan")), nothing=canonical("\ud800"))
    assert through_json(entry) == entry


@pytest.mark.parametrize("change", [{"number": "one"}, {"mood": "wild"}, {"envelope": {"kind": "envelope.posted"}}])
def test_an_entry_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    fields = msgspec.json.decode(msgspec.json.encode(encode_entry(ENTRY)))
    with pytest.raises(InvalidRecord, match="not have the shape of Entry in this version"):
        decode_entry(Entry, fields | change)


def test_entry_types_have_different_names() -> None:
    """Within each machine, a name in a snapshot means one type."""
    for machine in State().machines.values():
        names = [entry_type.__name__ for entry_type in machine.entry_types]
        assert names
        assert len(set(names)) == len(names)
        assert all(map(attrs.has, machine.entry_types))


async def history() -> list[Event]:
    """A history after which every machine has entries, and has lost some."""
    recorder = Recorder()
    hub = Hub(listeners=[recorder])
    hub.channels.register_violation_handler("page", lambda _, violated: {"max_silence": 1}[violated.expectation])
    async with hub:
        resume = Resume(capabilities=["plan"], summary="plans")
        passport = Passport(owner="me", cost={"input_per_mtok": 3})
        planner = await hub.agents.register("planner", passport=passport, resume=resume, skill="to plan")
        coder = await hub.agents.register("coder", capabilities=["python"], rule={"inbox": InboxRule(capacity=9)})
        gone = await hub.agents.register("gone")
        await planner.observe("t1", capability="python", ended="completed", latency_ms=3.5)
        await coder.set_resume(Resume(capabilities=["rust"]))
        await coder.set_rule({"inbox": InboxRule(overflow=InboxOverflow.DROP_OLDEST), "more": [1]})
        channel = await hub.channels.open([planner, coder], topic="a\u2028b", ttl_seconds=100, labels={"a": "b"})
        hasty: list[dict[str, Any]] = [
            {"name": "turn_within", "params": {"seconds": 1e-6}, "on_violation": "warn"},
            {"name": "reply_within"},
        ]
        discussed = await hub.channels.open(
            [planner, gone, coder], type="discussion", parent=channel, knobs={"rounds_max": 9}, expectations=hasty
        )
        await recorder.wait_for("envelope.posted")  # the notice
        await discussed.post(planner, "one more")
        for name in ("max_silence", "turn_within"):
            paged = {"name": name, "params": {"seconds": 1e-6}, "on_violation": "page"}
            await hub.channels.open([planner, coder], type="discussion", expectations=[paged])
        await recorder.wait_for("expectation.handled")
        await recorder.wait_for("expectation.handler_failed")
        closed = await hub.channels.open([planner])
        await closed.close()
        invited = await hub.channels.open([coder, planner, gone], invite=True, required_acks=1)
        await invited.accept(planner)
        pending = await hub.channels.open([planner, coder], invite=True)
        await gone.unregister()
        await channel.post(planner, {"text": "one"}, idempotency_key="k", ttl_seconds=5)
        await channel.post(planner, {"text": "two"}, to=[coder], priority="urgent")
        inbox = coder.inbox()
        for delay in (0.0, 60.0):
            delivery = await anext(inbox)
            await delivery.nack("busy", delay_seconds=delay)
        await (await anext(inbox)).ack()
        await channel.post(coder, {"text": "three"})
        clerk = await hub.agents.register("clerk", rule={"inbox": InboxRule(deliveries_max=1)})
        office = await hub.channels.open([planner, clerk])
        for order in ("file", "copy", "send"):
            await office.post(planner, order)
            await (await anext(clerk.inbox())).nack("stuck")
        await hub.inboxes.redeliver(hub.inboxes.dead_letters()[0])
        await hub.inboxes.discard(hub.inboxes.dead_letters()[0])
        await hub.timers.every(0.1, "tick", times_max=1000)
        await recorder.wait_for("timer.fired")
        await (await hub.timers.after(60, agent=clerk)).cancel()
        await hub.topics.subscribe(coder, "build.*")
        await hub.topics.subscribe(coder, "build.failed")
        await hub.topics.subscribe(clerk, "*")
        await hub.topics.unsubscribe(clerk, "*")
        await hub.topics.publish("build.failed", 1, sender=planner, idempotency_key="topic")
        await channel.leave(planner)
        assert pending.id in coder.invitations
        acme = hub.for_tenant("acme")
        ours = [await acme.agents.register(name) for name in ("planner", "gone")]
        await acme.channels.open(ours)
        await acme.tasks.start(ours[0], "theirs")
        await (await acme.tasks.start(ours[0], "done")).complete()
        await acme.topics.subscribe(ours[1], "build.*")
        await acme.topics.publish("build.done", 1, sender=ours[0], idempotency_key="topic")
        await ours[1].unregister()
        task = await hub.tasks.start(coder, "fix", channel=channel, ttl_seconds=60)
        await task.checkpoint({"line": 7})
        await (await hub.tasks.start(coder, "over")).complete()
        await hub.emit(ToolCalled(tool="ls", call_id="1", agent_id=coder.id))
        await hub.emit(ToolCalled(tool="ls", call_id="2", agent_id=coder.id))
        await hub.emit(ToolCompleted(tool="ls", call_id="1", agent_id=coder.id))
        alone = ApprovalPolicy(
            approvers=(FunctionApprover("alice", lambda _: True),),
            challenges=dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM),
        )
        await hub.approvals.gate(coder, "deploy", policy=alone)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.approvals.gate, coder, "publish")
            await wait_all_tasks_blocked()
            (entry,) = hub.approvals.pending()
            await hub.approvals.answer(entry.approval_id, "bob", is_passed=True)

        async def counting(turn: Turn) -> None:
            turn.state = {"done": turn.content}
            await turn.post("done")

        counter = await hub.spawn(counting)
        counted = await hub.channels.open([planner, counter.agent])
        await counted.post(planner, 1)
        await recorder.wait_for("turn.ended")
        seats = SeatCommands(hub._parts.core, hub._parts.state)
        for node in ("one", "two", "three"):
            await seats.seat(planner.id, node)
            await seats.seat(clerk.id, node)
        await seats.unseat(planner.id, "moved")
        await seats.leave(clerk.id, "two", "not wanted any more")
        await seats.gone("one", "silent")
        # A hub with a journal writes it, and a crash can leave it without what is to follow.
        followers, core = hub._parts.state.followers, hub._parts.core
        for session in ("first", "second", "third"):
            await core.execute(partial(followers.join, session, "host", 1, 0))
        for number in range(3):
            done = FollowerCommanded(follower_id="first", number=number, name="agents.register", digest="d")
            await core.execute(lambda done=done: [evolve(done, result={"is": [done.number, "é"]})])  # type: ignore[misc]
        await core.execute(partial(followers.leave, "second"))
        torn = TurnCommitted(envelope_id="e", events=({"kind": "turn.ended", "agent_id": "nobody"},))
        hub._parts.pipeline.put([torn])
        await hub.flush()
    return recorder.events


async def test_a_restored_state_goes_on_the_same() -> None:
    """The snapshot may be taken at any moment."""
    events = await history()
    for kept in range(len(events) + 1):
        state, restored = State(), State()
        for event in events[:kept]:
            state.apply(event)
        entries = state.snapshot()
        if kept == len(events):
            assert all(entries.values()), "a machine has nothing to prove"
        for name, machine in state.machines.items():
            assert {type(entry) for entry in entries[name]} <= set(machine.entry_types)
        restored.restore({name: [through_json(entry) for entry in each] for name, each in entries.items()})
        assert vars_of(restored) == vars_of(state)
        for event in events[kept:]:
            state.apply(event)
            restored.apply(event)
        assert vars_of(restored) == vars_of(state)


INDEXES = frozenset({"_by_capability", "_by_agent", "_by_node", "_children", "_timed", "closing", "leaving"})
"""What follows from the entries, and has no order of its own: nothing goes by it."""

PLANS = frozenset({"_looks"})
"""When evaluators are asked again: not what they will say."""


def vars_of(state: State) -> dict[str, dict[str, Any]]:
    """Everything the machines remember, indexes too, with the order of their dictionaries."""
    return {
        name: {
            key: list(value.items()) if isinstance(value, dict) and key not in INDEXES else value
            for key, value in vars(machine).items()
            if key not in PLANS and not any(value is other for other in vars(state).values())
        }
        for name, machine in state.machines.items()
    }


async def test_a_snapshot_does_not_change_later() -> None:
    events = await history()
    state = State()
    for event in events[: len(events) // 2]:
        state.apply(event)
    entries = state.snapshot()
    before = msgspec.json.encode({name: list(map(encode_entry, each)) for name, each in entries.items()})
    for event in events[len(events) // 2 :]:
        state.apply(event)
    assert msgspec.json.encode({name: list(map(encode_entry, each)) for name, each in entries.items()}) == before
