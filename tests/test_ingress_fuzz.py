"""Any value, by every way into a hub: refused at the call, or live what it is after a restart.

``HUBWIRE_FUZZ_SECONDS=600`` lets the last test run that long, each time with other values.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio.to_thread
import pytest

from hubwire import Duty, Event, GenericEvent, Hub
from hubwire.context import scope
from hubwire.errors import CallerError, EventInvalid
from hubwire.events._event import own_fields
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, history
from support.hostile import HEADER, HOSTILE, KINDS, EvilText, Posing, Shaped, named

SECONDS = float(os.environ.get("HUBWIRE_FUZZ_SECONDS", "0"))

EMITTABLE = [cls for cls in KINDS if cls.command is None]


class Answering:
    """A listener that emits, by a way, what it is asked to."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.answers: list[Event] = []
        self.refused: list[BaseException] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "fuzz.asked" and self.answers:
                try:
                    await self.hub.emit(self.answers.pop())
                except BaseException as error:  # noqa: BLE001 - it is looked at by the test
                    self.refused.append(error)


async def emit(hub: Hub, event: Event) -> None:
    await hub.emit(event)


async def emit_nowait(hub: Hub, event: Event) -> None:
    hub.emit_nowait(event)


async def offer(hub: Hub, event: Event) -> None:
    assert hub.offer(event)


async def emit_threadsafe(hub: Hub, event: Event) -> None:
    await asyncio.wrap_future(hub.emit_threadsafe(event))


async def emit_from_a_thread(hub: Hub, event: Event) -> None:
    future = await anyio.to_thread.run_sync(hub.emit_threadsafe, event)
    await asyncio.wrap_future(future)


async def emit_together(hub: Hub, event: Event) -> None:
    results = await asyncio.gather(hub.emit(event), hub.emit(event), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


WAYS: list[Callable[[Hub, Event], Any]] = [
    *(emit, emit_nowait, offer, emit_threadsafe, emit_from_a_thread, emit_together)
]


HOLDERS: list[Callable[[Callable[[], Any]], Event]] = [
    lambda make: Shaped(text=make()),
    lambda make: Shaped(text="t", anything=make()),
    lambda make: Shaped(text="t", session_id=make()),
    lambda make: Shaped(text="t", metadata=make()),
    lambda make: GenericEvent(kind="user.came", data={"a": make()}),
    lambda make: GenericEvent(kind=make()),
]


class Round:
    """One hub on a store, what was taken from it live, and the next hub on this store."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.recorder = Recorder()
        self.taken = 0
        self.refused = 0

    async def run(self, acts: Sequence[Callable[[Hub], Any]]) -> None:
        """Do each act in a hub; see that nothing but refusals comes of it, and that the next hub reads the same."""
        async with Hub(self.store, listeners=[AuditLog(self.store)]) as hub:
            self.recorder = Recorder()
            await hub.attach(self.recorder, duty=Duty.REQUIRED).ready()
            for act in acts:
                await self._do(hub, act)
            await hub.flush()
            # That the loop stood still says something of the machine, when many of these run for ten minutes.
            assert not [each for each in hub.health().problems if not each.startswith("the event loop stood still")]
        live = self.recorder.events
        async with Hub(self.store) as hub:
            found = {event.seq: event for event in await history(hub)}
        for event in live:
            read = found[event.seq]
            assert type(read) is type(event)
            assert read == event
        await self._check_audit_log(found)

    async def _do(self, hub: Hub, act: Callable[[Hub], Any]) -> None:
        before = hub.statistics().applied
        try:
            await act(hub)
        except CallerError as error:
            refusal = error
        else:
            self.taken += 1
            return
        assert hub.statistics().applied == before, "a refusal changes nothing"
        assert not isinstance(refusal, EventInvalid) or len(str(refusal)) < 700
        self.refused += 1

    async def _check_audit_log(self, found: dict[int, Event]) -> None:
        records = [record async for record in AuditLog(self.store).read() if "seq" in record.fields]
        for record in records:
            assert record.fields["kind"] == found[record.fields["seq"]].kind


def emitting(way: Callable[[Hub, Event], Any], make: Callable[[], Event]) -> Callable[[Hub], Any]:
    async def act(hub: Hub) -> None:
        await way(hub, make())

    return act


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_hostile_values_are_refused_or_replay(way: Callable[[Hub, Event], Any]) -> None:
    """A field of a class, one that may hold anything, one of the context, generic data and a generic kind."""
    makes = [partial(one, make) for make in HOSTILE for one in HOLDERS]
    fuzz = Round()
    await fuzz.run([emitting(way, make) for make in makes])
    assert min(fuzz.taken, fuzz.refused) > 200


async def test_hostile_scopes_are_refused_or_replay() -> None:
    def within(name: str, make: Callable[[], Any]) -> Callable[[Hub], Any]:
        async def act(hub: Hub) -> None:
            with scope(**{name: make()}):
                await hub.emit(GenericEvent(kind="user.came"))

        return act

    fuzz, makes = Round(), [make for make in HOSTILE if make is not Posing]  # its own error is what its caller gets
    await fuzz.run([within(name, make) for make in makes for name in ("correlation_id", "tenant", "traceparent")])
    assert fuzz.taken > 10
    assert {type(event.correlation_id) for event in fuzz.recorder.events} == {str, type(None)}


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT])
async def test_hostile_answers_of_listeners_are_refused(duty: Duty) -> None:
    """The listener gets the refusal, and the hub goes on."""
    store = MemoryStore()
    async with Hub(store) as hub:
        answering, recorder = Answering(hub), Recorder()
        hub.attach(answering, duty=duty, pattern="fuzz.*")
        hub.attach(recorder, duty=Duty.REQUIRED)
        for make in HOSTILE:
            answers: list[Event] = [Shaped(text=make()), GenericEvent(kind="user.came", data={"a": make()})]
            for event in answers:
                answering.answers.append(event)
                await hub.emit(GenericEvent(kind="fuzz.asked"))
        await hub.flush()
        assert not answering.answers
        assert len(answering.refused) > 50
        assert all(isinstance(error, CallerError) for error in answering.refused)
        assert hub.health().healthy
    async with Hub(store) as hub:
        found = await history(hub)
    for event in recorder.events:
        assert found[event.seq] == event
        assert type(found[event.seq]) is type(event)


async def test_text_cannot_lie_about_its_kind() -> None:
    """Text that compares as it likes gets no event past the check of its kind."""
    async with Hub() as hub:
        await hub.emit(GenericEvent(kind="user.came"))
        for kind in ("agent.registered", "hub.stopped", "listener.attached", "tool.called", "x", ""):
            with pytest.raises(CallerError):
                await hub.emit(GenericEvent(kind=EvilText(kind)))
        made = await hub.emit(GenericEvent(kind=EvilText("user.went")))
        assert (type(made.kind), made.kind) == (str, "user.went")


# --- without end ------------------------------------------------------------------------------------------------------


def any_value(chance: random.Random, levels: int = 3) -> Any:
    what = chance.randrange(10)
    if what < 5 or not levels:
        return chance.choice(HOSTILE)()
    inner = [any_value(chance, levels - 1) for _ in range(chance.randrange(3))]
    if what < 7:
        return inner if what == 5 else tuple(inner)
    if what < 9:
        return {chance.choice(["a", "b", "\ud800", "\u2028", "$text", "$int", "$map"]): value for value in inner}
    return dict(enumerate(inner))


def any_event(chance: random.Random) -> Event:
    if chance.random() < 0.3:
        return GenericEvent(kind=chance.choice(["user.came", "a.b"]), data=any_value(chance))
    cls: Any = chance.choice(EMITTABLE)
    fields = {name: any_value(chance) if chance.random() < 0.5 else "text" for name in own_fields(cls)}
    fields |= {name: any_value(chance) for name in HEADER if chance.random() < 0.1}
    made: Event = cls(**fields)
    return made


@pytest.mark.timeout(max(60, SECONDS * 2))
async def test_any_events_are_refused_or_replay() -> None:
    started = time.monotonic()
    seed = random.randrange(2**32) if SECONDS else 1
    while True:
        chance = random.Random(seed)
        try:
            await Round().run(
                [emitting(chance.choice(WAYS), lambda: any_event(chance)) for _ in range(200)]  # noqa: B023 - at once
            )
        except BaseException as error:
            error.add_note(f"with seed {seed}")
            raise
        if time.monotonic() - started > SECONDS:
            break
        seed += 1


def test_values_have_names_that_call_nothing() -> None:
    for make in HOSTILE:
        assert named(make())
