"""What state machines are made of can be kept and read back: see hubwire._state.Machine."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs
import msgspec
import pytest

from hubwire import Hub
from hubwire._entries import decode_entry, encode_entry
from hubwire._state import State
from hubwire.errors import InvalidRecord
from hubwire.events import EnvelopePosted, Event, FrozenDict, canonical
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


def test_an_entry_is_read_back_as_it_was() -> None:
    read: Entry = through_json(ENTRY)
    assert read == ENTRY
    assert type(read.rules) is FrozenDict
    assert isinstance(read.payload, tuple)
    assert type(read.payload[0]) is FrozenDict
    assert isinstance(read.envelope, EnvelopePosted)


def test_a_set_is_kept_sorted_so_that_equal_states_have_equal_snapshots() -> None:
    one, other = (attrs.evolve(ENTRY, tags=frozenset(tags)) for tags in ("abcdefgh", "hgfedcba"))
    assert msgspec.json.encode(encode_entry(one)) == msgspec.json.encode(encode_entry(other))


def test_a_field_may_hold_the_marked_substitute_of_what_json_cannot_hold() -> None:
    entry = attrs.evolve(ENTRY, text=canonical("a\ud800b"), ratio=canonical(float("nan")), nothing=canonical("\ud800"))
    assert through_json(entry) == entry


@pytest.mark.parametrize("change", [{"number": "one"}, {"mood": "wild"}, {"envelope": {"kind": "envelope.posted"}}])
def test_an_entry_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    fields = msgspec.json.decode(msgspec.json.encode(encode_entry(ENTRY)))
    with pytest.raises(InvalidRecord, match="no Entry as this version"):
        decode_entry(Entry, fields | change)


def test_entry_types_have_names_of_their_own_in_each_machine() -> None:
    for machine in State().machines.values():
        names = [entry_type.__name__ for entry_type in machine.entry_types]
        assert names
        assert len(set(names)) == len(names)
        assert all(map(attrs.has, machine.entry_types))


async def history() -> list[Event]:
    """A history after which every machine has entries, and has lost some."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        planner = await hub.agents.register("planner", capabilities=["plan"])
        coder = await hub.agents.register("coder")
        gone = await hub.agents.register("gone")
        await gone.unregister()
        channel = await hub.channels.open([planner, coder], topic="a\ud800b")
        closed = await hub.channels.open([planner])
        await closed.close()
        await channel.post(planner, {"text": "one"})
        await channel.post(planner, {"text": "two"}, to=[coder])
        async for delivery in coder.inbox():
            await delivery.ack()
            break
        await channel.post(coder, {"text": "three"})
        await hub.flush()
    return recorder.events


async def test_a_state_restored_at_any_moment_goes_on_like_the_one_it_was_taken_of() -> None:
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


def vars_of(state: State) -> dict[str, dict[str, Any]]:
    """Everything the machines remember, indexes too, with the order of their dictionaries."""
    return {
        name: {
            key: list(value.items()) if isinstance(value, dict) else value
            for key, value in vars(machine).items()
            if type(value) not in {type(each) for each in state.machines.values()}
        }
        for name, machine in state.machines.items()
    }


async def test_a_snapshot_is_not_changed_by_what_comes_after_it() -> None:
    events = await history()
    state = State()
    for event in events[: len(events) // 2]:
        state.apply(event)
    entries = state.snapshot()
    before = msgspec.json.encode({name: list(map(encode_entry, each)) for name, each in entries.items()})
    for event in events[len(events) // 2 :]:
        state.apply(event)
    assert msgspec.json.encode({name: list(map(encode_entry, each)) for name, each in entries.items()}) == before
