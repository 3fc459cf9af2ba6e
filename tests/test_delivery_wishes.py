"""What a listener may wish for when it fails: later, never, or no more at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from hubwire import AttachmentState, DeadLetterReason, Duty, Event, Hub, RetryOutcome
from hubwire.errors import ConfigurationError, EventRefused, HubFailed, PartialBatch, RetryLater, TargetGone
from hubwire.events import ListenerDetached
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import numbers, pass_time, said, until, until_idle


class Wishing:
    """Fails at the events whose numbers are given, as they are given."""

    duty = Duty.DURABLE
    pattern = "number.said"

    def __init__(self, wishes: dict[int, Any]) -> None:
        self.wishes = wishes
        self.heard: list[Event] = []
        self.calls = 0

    async def __call__(self, event: Event) -> None:
        self.calls += 1
        if (wish := self.wishes.get(numbers([event])[0])) is not None:
            raise wish
        self.heard.append(event)


class InBatches(Wishing):
    """The same, for a listener that takes batches and does not say where it fails."""

    async def on_events(self, events: Sequence[Event]) -> None:
        for number, event in enumerate(events):
            try:
                await self(event)
            except Exception as error:
                if number:
                    raise PartialBatch(number) from error
                raise


class Blunt(Wishing):
    """Takes a batch as a whole: which event it fails at is not known."""

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            await self(event)


FORMS = pytest.mark.parametrize("form", [Wishing, InBatches, Blunt])


@FORMS
async def test_a_refused_event_is_a_dead_letter_at_once(form: type[Wishing]) -> None:
    """What follows is delivered, in order, without a pause, though the listener would be suspended otherwise."""
    listener = form({1: EventRefused("the receiver says 422")})
    async with Hub(MemoryStore(), clock=ManualClock()) as hub:
        attachment = hub.attach(listener, name="l")
        await attachment.ready()
        for n in range(4):
            await hub.emit(said(n))
        await hub.flush()
        assert [n for n in numbers(listener.heard) if n > 1] == [2, 3]
        assert 0 in numbers(listener.heard)
        (letter,) = await hub.dead_letters.list()
        assert (letter.attachment, letter.reason, letter.attempts) == ("l", DeadLetterReason.VALIDATION, 1)
        assert letter.error == "the receiver says 422"
        assert attachment.statistics().retries == 0
        listener.wishes.clear()
        assert (await hub.dead_letters.retry(letter.id)).outcome is RetryOutcome.DELIVERED


@FORMS
async def test_a_listener_says_when_it_wants_the_event_again(form: type[Wishing]) -> None:
    clock, listener = ManualClock(), form({0: RetryLater("busy", seconds=500)})
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = hub.attach(listener, name="l", attempts_max=2)
        await attachment.ready()
        await hub.emit(said(0))
        await until_idle()
        assert listener.calls == 1
        assert "fails at event" in (attachment.problem() or "")
        await pass_time(clock, 499)
        assert listener.calls == 1
        listener.wishes.clear()
        await pass_time(clock, 2)
        await hub.flush()
        assert numbers(listener.heard) == [0]
        assert attachment.problem() is None


async def test_what_was_not_tried_does_not_count() -> None:
    clock, listener = ManualClock(), Wishing({0: RetryLater("the circuit is open", seconds=1, is_attempt=False)})
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = hub.attach(listener, name="l", attempts_max=2)
        await attachment.ready()
        await hub.emit(said(0))
        await pass_time(clock, 50)
        assert listener.calls > 20
        assert attachment.problem() is None
        assert attachment.statistics().failed == 0
        listener.wishes = {0: RetryLater("tried", seconds=1)}
        await pass_time(clock, 5)
        assert attachment.state is AttachmentState.SUSPENDED


@pytest.mark.parametrize("seconds", ["x", None, float("nan"), -5, 10**400])
async def test_a_wish_that_is_no_time_is_a_failure(seconds: Any) -> None:
    clock, listener = ManualClock(), Wishing({0: RetryLater("odd", seconds=seconds, is_attempt=False)})
    async with Hub(MemoryStore(), clock=clock, close_seconds_max=0.2) as hub:
        attachment = hub.attach(listener, name="l", attempts_max=3)
        await attachment.ready()
        await hub.emit(said(0))
        await pass_time(clock, 100)
        assert (attachment.state is AttachmentState.SUSPENDED) == (seconds != -5)


@FORMS
async def test_a_listener_whose_target_is_gone_is_detached(form: type[Wishing]) -> None:
    """It goes on with the same event when it is attached again."""
    listener, recorder = form({1: TargetGone("the endpoint answered 410")}), Recorder()
    async with Hub(MemoryStore(), clock=ManualClock(), listeners=[recorder]) as hub:
        attachment = hub.attach(listener, name="l")
        await attachment.ready()
        for n in range(4):
            await hub.emit(said(n))
        await until(lambda: attachment.state is AttachmentState.DETACHED)
        await hub.flush()
        (ended,) = [each for each in recorder.events if isinstance(each, ListenerDetached)]
        assert (ended.listener, ended.reason) == ("l", "TargetGone: the endpoint answered 410")
        assert any("410" in each for each in hub.health().problems)
        with pytest.raises(TargetGone):
            await attachment.ready()
        listener.wishes.clear()
        again = hub.attach(listener, name="l")
        await again.ready()
        await hub.flush()
        assert [n for n in numbers(listener.heard) if n] == [1, 2, 3]
        assert hub.health().healthy


async def test_a_best_effort_listener_refuses_as_often_as_it_likes() -> None:
    """After three failures within five seconds it would be detached."""
    listener = Wishing({n: EventRefused("no") for n in range(20)})
    async with Hub(clock=ManualClock()) as hub:
        attachment = hub.attach(listener, duty=Duty.BEST_EFFORT)
        await attachment.ready()
        for n in range(21):
            await hub.emit(said(n))
        await hub.flush()
        assert numbers(listener.heard) == [20]
        assert attachment.state is AttachmentState.RUNNING
        assert len(await hub.dead_letters.list()) == 20


@pytest.mark.parametrize("wish", [EventRefused("no"), TargetGone("gone"), RetryLater("later", seconds=1)])
async def test_a_required_listener_stops_the_hub_whatever_it_wishes(wish: Exception) -> None:
    listener = Wishing({0: wish})
    with pytest.raises(HubFailed):
        async with Hub(MemoryStore(), clock=ManualClock()) as hub:
            hub.attach(listener, duty=Duty.REQUIRED)
            await hub.emit(said(0))


@pytest.mark.parametrize("wish", [EventRefused("no"), RetryLater("later", seconds=0.01)])
async def test_wishes_are_heard_from_calls_side_by_side(wish: Exception) -> None:
    listener = Wishing({3: wish})
    async with Hub(MemoryStore()) as hub:
        attachment = hub.attach(listener, concurrency=4, name="l", attempts_max=10_000)
        await attachment.ready()
        for n in range(10):
            await hub.emit(said(n))
        await until(lambda: len(listener.heard) == 9)
        listener.wishes.clear()
        await hub.flush()
        letters = await hub.dead_letters.list()
        assert len(letters) + len(listener.heard) == 10
        assert bool(letters) == isinstance(wish, EventRefused)


async def test_a_target_that_is_gone_ends_calls_side_by_side() -> None:
    listener = Wishing({3: TargetGone("gone")})
    async with Hub(MemoryStore()) as hub:
        attachment = hub.attach(listener, concurrency=4, name="l")
        await attachment.ready()
        for n in range(10):
            await hub.emit(said(n))
        await until(lambda: attachment.state is AttachmentState.DETACHED)
        assert isinstance(attachment.failure, TargetGone)


async def test_a_listener_says_how_often_it_may_fail() -> None:
    class Patient(Wishing):
        attempts_max = 3

    for given, calls in ((None, 3), (5, 5)):
        clock, listener = ManualClock(), Patient({0: ValueError("x")})
        async with Hub(MemoryStore(), clock=clock) as hub:
            attachment = hub.attach(listener, attempts_max=given)
            await attachment.ready()
            await hub.emit(said(0))
            await pass_time(clock, 1000)
            assert listener.calls == calls
            assert attachment.state is AttachmentState.SUSPENDED
    Patient.attempts_max = 0
    with pytest.raises(ConfigurationError, match="attempts_max must be a whole number of at least 1, not 0"):
        Hub(MemoryStore()).attach(Patient({}))


async def test_a_refusal_at_the_end_of_the_hub_is_kept() -> None:
    """A hub that closes stores the letter, and the event is not delivered again after the restart."""
    store, listener = MemoryStore(), Wishing({0: EventRefused("no")})
    async with Hub(store) as hub:
        hub.attach(listener, name="l")
        await hub.emit(said(0))
    listener.wishes.clear()
    async with Hub(store) as hub:
        hub.attach(listener, name="l")
        await hub.emit(said(1))
        await hub.flush()
        assert numbers(listener.heard) == [1]
        assert len(await hub.dead_letters.list()) == 1


@pytest.mark.slow
async def test_a_durable_listener_that_is_left_behind_goes_on_with_its_event() -> None:
    """It does not end when it is cancelled, and is detached: attached again, it gets what it has not handled."""
    end, heard = asyncio.Event(), []

    async def stubborn(event: Event) -> None:
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()

    async def heed(event: Event) -> None:
        heard.append(event)

    async with Hub(MemoryStore()) as hub:
        attachment = hub.attach(stubborn, pattern="number.said", duty=Duty.DURABLE, name="l", timeout=0.01)
        await attachment.ready()
        for n in range(3):
            await hub.emit(said(n))
        await until(lambda: attachment.state is AttachmentState.DETACHED)
        end.set()
        hub.attach(heed, pattern="number.said", duty=Duty.DURABLE, name="l")
        await hub.flush()
        assert numbers(heard) == [0, 1, 2]
