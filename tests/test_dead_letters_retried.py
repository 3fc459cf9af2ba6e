"""Retrying dead letters of listeners: the event reaches the one that failed, and the outcome is what has happened."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import (
    AttachmentState,
    Chain,
    Duty,
    Event,
    Hub,
    InboxRule,
    RetryOutcome,
)
from hubwire.errors import (
    CommandRejected,
    ConfigurationError,
    NotFound,
)
from hubwire.events import ListenerLettersRemoved
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, GatedRecorder, ManualClock, Recorder, history
from support import numbers, pass_time, said, until, until_idle
from support.durable import Failing
from support.letters import durable, say

ALL = 1000


# --- retrying -------------------------------------------------------------------------------------------------------


async def test_a_retry_reaches_the_one_that_failed() -> None:
    """Other listeners do not get the event again, and its number and id are those that it had."""
    failing, other = Failing(1), Recorder()
    async with Hub(MemoryStore()) as hub:
        durable(hub, failing)
        hub.attach(other, pattern="number.said")
        await say(hub, 3)
        (letter,) = await hub.dead_letters.list()
        failing.bad.clear()
        result = await hub.dead_letters.retry(letter.id)
        assert (result.outcome, result.error) == (RetryOutcome.DELIVERED, "")
        assert failing.events[-1] == letter.event
        assert numbers(failing.events) == [0, 2, 1]
        assert numbers(other.events) == [0, 1, 2]
        with pytest.raises(NotFound):
            await hub.dead_letters.retry(letter.id)
        assert hub.health().healthy


async def test_a_retry_that_fails_says_so() -> None:
    """It stays one letter, with the same id, which counts how often."""
    clock, failing = ManualClock(), Failing(1)
    async with Hub(MemoryStore(), clock=clock) as hub:
        durable(hub, failing)
        for n in range(3):
            await hub.emit(said(n))
        (before,) = await hub.dead_letters.list()
        clock.advance(60)
        result = await hub.dead_letters.retry(before.id)
        assert (result.outcome, result.is_delivered) == (RetryOutcome.FAILED, False)
        assert (result.error_type, result.error) == ("ValueError", "bad number")
        (after,) = await hub.dead_letters.list()
        assert (after.id, after.first_at, after.attempts, after.retries) == (before.id, before.first_at, 2, 1)
        assert after.last_at > before.last_at
        assert after.event == before.event


async def test_retry_all_leaves_alone_what_failed_too_often() -> None:
    """The number of retries is the letter's own: it does not begin anew with each failure."""
    failing = Failing(1)
    async with Hub(MemoryStore()) as hub:
        durable(hub, failing)
        await say(hub, 2)
        calls = failing.calls
        for _ in range(10):
            await hub.dead_letters.retry_all(attempts_max=3)
        assert failing.calls == calls + 3
        (letter,) = await hub.dead_letters.list()
        assert letter.retries == 3


async def test_a_retry_needs_its_listener() -> None:
    """Attached again under its name, it gets what it has given up."""
    failing = Failing(1)
    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, failing)
        await say(hub, 3)
        await attachment.detach()
        (result,) = await hub.dead_letters.retry_all()
        assert result.outcome is RetryOutcome.NOT_ATTACHED
        assert "no listener named 'picky' is attached" in result.error
        required = durable(hub, Recorder(), duty=Duty.REQUIRED, when_exhausted="suspend")
        await required.ready()
        (result,) = await hub.dead_letters.retry_all()
        assert result.outcome is RetryOutcome.NOT_ATTACHED
        assert "is REQUIRED now" in result.error
        await required.detach()
        mended = Recorder()
        await durable(hub, mended, duty=Duty.BEST_EFFORT).ready()
        (result,) = await hub.dead_letters.retry_all()
        assert result.is_delivered
        assert numbers(mended.events) == [1]


async def test_a_suspended_listener_gets_a_retry() -> None:
    failing = Failing(1, 2)
    async with Hub(MemoryStore()) as hub:
        durable(hub, failing)
        await say(hub, 2)
        await hub._parts.fanout.attachments[0].detach()  # its letter stays
        attachment = durable(hub, failing, when_exhausted="suspend")
        await say(hub, 1, first=2)
        assert attachment.state is AttachmentState.SUSPENDED
        failing.bad = {2}
        (result,) = await hub.dead_letters.retry_all()
        assert result.is_delivered
        assert attachment.state is AttachmentState.SUSPENDED


async def test_a_retry_of_one_that_is_detached_meanwhile_ends() -> None:
    failing, gate = Failing(1), GatedRecorder()
    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, failing)
        await say(hub, 2)
        await attachment.detach()
        attachment = durable(hub, gate)
        await attachment.ready()
        gate.close()
        async with anyio.create_task_group() as tasks:
            results: list[Any] = []

            async def retry() -> None:
                results.extend(await hub.dead_letters.retry_all())

            await hub.emit(said(5))
            await until_idle()
            tasks.start_soon(retry)
            await until(lambda: bool(attachment.reading._again))
            tasks.start_soon(attachment.detach)
            await until_idle()
            gate.open()
        assert [each.outcome for each in results] == [RetryOutcome.NOT_ATTACHED]
        assert len(await hub.dead_letters.list()) == 1


async def test_a_retry_of_one_that_is_being_left_ends() -> None:
    """It reads no more events, and is not detached yet: no task would answer."""
    leaving = Gate(is_open=False)

    class Slow(Recorder):
        async def __aenter__(self) -> None:
            """Have a context, which is left."""

        async def __aexit__(self, *_: object) -> None:
            await leaving.pass_through()

    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, Failing(0))
        await say(hub, 1)
        await attachment.detach()
        attachment = durable(hub, Slow())
        await attachment.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attachment.detach)
            await until(lambda: attachment.reading._is_over)
            (result,) = await hub.dead_letters.retry_all()
            assert result.outcome is RetryOutcome.NOT_ATTACHED
            assert "was detached before it got the dead letter" in result.error
            leaving.open()


async def test_two_tasks_do_not_deliver_one_letter_twice() -> None:
    failing, gate = Failing(0), GatedRecorder()
    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, failing)
        await say(hub, 1)
        await attachment.detach()
        await durable(hub, gate).ready()
        gate.close()
        (letter,) = await hub.dead_letters.list()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.dead_letters.retry, letter.id)
            await until_idle()
            with pytest.raises(CommandRejected, match="is being retried by another task"):
                await hub.dead_letters.retry(letter.id)
            assert not await hub.dead_letters.retry_all()
            gate.open()
        assert numbers(gate.events) == [0]


async def test_a_listener_cannot_wait_for_its_own_retry() -> None:
    """Nor one that the commit waits for, for that of another: it would wait for ever."""
    errors: list[str] = []

    class Retrier(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            try:
                await hub.dead_letters.retry_all()
            except ConfigurationError as error:
                errors.append(str(error))

    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, Failing(0))
        await say(hub, 1)
        await attachment.detach()
        attachment = durable(hub, Retrier())
        await say(hub, 1)
        assert "would wait for itself" in errors[0]
        await attachment.detach()
        hub.attach(Retrier(), duty=Duty.REQUIRED, name="required", pattern="number.said")
        await say(hub, 1)
        assert "the commit waits for cannot wait for the retry" in errors[-1]


async def test_a_cancelled_retry_is_as_if_it_was_not_asked_for() -> None:
    failing, gate = Failing(0), GatedRecorder()
    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, failing)
        await say(hub, 1)
        await attachment.detach()
        await durable(hub, gate).ready()
        gate.close()
        await hub.emit(said(7))
        await until_idle()
        (letter,) = await hub.dead_letters.list()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hub.dead_letters.retry, letter.id)
                await until_idle()
                scope.cancel()
        gate.open()
        await hub.flush()
        assert numbers(gate.events) == [7]
        assert (await hub.dead_letters.retry(letter.id)).is_delivered


async def test_letters_that_are_gone_are_reported() -> None:
    clock, failing = ManualClock(), Failing(0, 1, 2)
    async with Hub(MemoryStore(), clock=clock) as hub:
        durable(hub, failing)
        for n in range(3):
            await hub.emit(said(n))
        failing.bad.clear()
        first = (await hub.dead_letters.list())[0]
        await hub.dead_letters.discard(first.id, reason="a test")
        await hub.dead_letters.retry_all()
        await pass_time(clock, 2)
        removed = [each for each in await history(hub) if isinstance(each, ListenerLettersRemoved)]
        assert (
            sorted((each.reason, each.count) for each in removed)
            == [
                ("discarded", 1),
                ("retried", 1),
                ("retried", 1),
            ]
            or sum(each.count for each in removed) == 3
        )
        assert {each.listener for each in removed} == {"picky"}


async def test_several_letters_are_discarded_together() -> None:
    clock = ManualClock()
    async with Hub(MemoryStore(), clock=clock) as hub:
        durable(hub, Failing(0, 1, 2))
        durable(hub, Failing(1), name="other")
        for n in range(3):
            await hub.emit(said(n))
            await hub.flush()
            clock.advance(60)
        a = await hub.agents.register("a", rule={"inbox": InboxRule(deliveries_max=1)})
        await (await hub.channels.open([a])).post(a, "hello", to=[a])
        await (await anext(a.inbox())).nack()
        clock.advance(60)
        assert await hub.dead_letters.discard_all(attachment="picky", older_than_seconds=200) == 1
        assert await hub.dead_letters.discard_all(attachment="nobody") == 0
        assert await hub.dead_letters.discard_all(older_than_seconds=90) == 3
        assert [each.origin for each in await hub.dead_letters.list()] == ["inbox"]
        assert await hub.dead_letters.discard_all(reason="a test") == 1


async def test_a_listener_with_a_position_of_its_own_gets_no_old_event() -> None:
    """It would say that it holds what it does not; an audit log would leave the event out, and call that handled."""
    store = MemoryStore()

    class Full(AuditLog):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events) == [1]:
                raise ValueError("bad number")
            await super().on_events(events)

    async with Hub(store) as hub:
        with pytest.raises(ConfigurationError, match="says by last_seq"):
            durable(hub, Full(store), name="log")
        hub.attach(Full(store), duty=Duty.BEST_EFFORT, name="log", pattern="number.said")
        await say(hub, 3)
        (letter,) = await hub.dead_letters.list()
        result = await hub.dead_letters.retry(letter.id)
        assert result.outcome is RetryOutcome.NOT_ATTACHED
        assert "takes no older event; discard the letter" in result.error


@pytest.mark.slow
async def test_a_listener_that_swallows_its_cancellation_in_a_retry_is_detached() -> None:
    """Its letter stays, and is no second one; neither retry nor hub waits for it."""
    over: list[bool] = []

    class Deaf(Recorder):
        is_deaf = False

        async def on_events(self, events: Sequence[Event]) -> None:
            while self.is_deaf:
                try:
                    await anyio.sleep_forever()
                except asyncio.CancelledError:
                    if over:
                        raise
            raise ValueError("bad")

    listener = Deaf()
    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, listener, timeout=0.01)
        await say(hub, 1)
        listener.is_deaf = True
        (result,) = await hub.dead_letters.retry_all()
        assert (result.outcome, result.error_type) == (RetryOutcome.FAILED, "ListenerTimeout")
        await attachment.finished()
        (letter,) = await hub.dead_letters.list()
        assert (letter.attempts, letter.retries) == (2, 1)
        over.append(True)


async def test_a_blocked_function_makes_no_letters_of_others() -> None:
    blocked, well = threading.Event(), Recorder()
    async with Hub(MemoryStore()) as hub:
        durable(hub, lambda _: blocked.wait(), name="blocked", timeout=0.05)
        durable(hub, well, name="well", timeout=5.0)
        durable(hub, well.events.append, name="threaded", timeout=5.0)
        await say(hub, 3)
        assert hub.dead_letters.statistics().by_attachment == {"blocked": 3}
        assert sorted(numbers(well.events)) == [0, 0, 1, 1, 2, 2]
        blocked.set()


async def test_nothing_is_made_while_nothing_fails() -> None:
    """No file, no task, no import: a listener that is well costs what it did."""
    store = MemoryStore()
    async with Hub(store) as hub:
        durable(hub, Recorder())
        await say(hub, 10)
        letters = hub._parts.fanout.letters
        assert letters._box is None
        assert not letters._is_working
        assert "dead-letters/" not in await store.list("/journal")


# --- all of it ------------------------------------------------------------------------------------------------------


class Sick:
    """Functions that are sick at some numbers, each in its way, until they are mended."""

    def __init__(self) -> None:
        self.is_mended = threading.Event()
        self.heard: dict[str, list[int]] = {}

    def function(self, name: str, sort: str, every: int) -> Callable[[Event], Any]:
        """Return a function that is sick at each number that is a multiple of ``every``."""
        heard = self.heard[name] = []

        async def listen(event: Event) -> None:
            (n,) = numbers([event])
            if n % every == 0 and not self.is_mended.is_set():
                if sort == "hangs":
                    await anyio.sleep_forever()
                raise ExceptionGroup("all", [ValueError("bad")]) if sort == "fails wholly" else ValueError("bad")
            heard.append(n)

        def block(event: Event) -> None:
            (n,) = numbers([event])
            if n % every == 0 and not self.is_mended.is_set():
                self.is_mended.wait()
            else:
                heard.append(n)

        return block if sort == "blocks" else listen


@pytest.mark.slow
async def test_all_failures_of_thirty_functions_are_mended() -> None:
    """Five of them fail, hang or block: each failure is one letter, and none is left when they are mended."""
    count, sick = 5000, Sick()
    every = {"fails": 2, "fails wholly": 5, "hangs": 1200, "blocks": 1700, "fails rarely": 999}
    letters: Any
    async with Hub(MemoryStore()) as hub:
        for sort, each in every.items():
            timeout = 1.0 if sort in ("hangs", "blocks") else 30.0
            durable(hub, sick.function(sort, sort, each), name=sort, timeout=timeout)
        for number in range(25):
            duty = Duty.DURABLE if number % 2 else Duty.BEST_EFFORT
            durable(
                hub, sick.function(f"well {number}", "well", 10**9), name=f"well {number}", duty=duty, since="start"
            )
        for n in range(1, count + 1):
            await hub.emit(said(n))
        await hub.flush()
        for sort, each in every.items():
            letters = await hub.dead_letters.list(attachment=sort, limit=count)
            assert numbers(letter.event for letter in letters) == list(range(each, count + 1, each))
            assert {letter.attempts for letter in letters} == {1}
        kept = hub.dead_letters.statistics().kept
        assert kept == sum(count // each for each in every.values())
        sick.is_mended.set()
        results = await hub.dead_letters.retry_all()
        assert [each.outcome for each in results] == [RetryOutcome.DELIVERED] * kept
        assert hub.dead_letters.statistics().kept == 0
        for name, heard in sick.heard.items():
            assert sorted(set(heard)) == list(range(1, count + 1)), name
            assert len(heard) == count or name == "blocks", "a thread that blocked goes on where it was"
        assert not [each for each in hub.health().problems if "dead letters" in each]


# --- of functions ---------------------------------------------------------------------------------------------------


async def test_functions_side_by_side_have_letters_which_are_retried() -> None:
    """Also while they are suspended, or have nothing to do; the position passes none before its letter is kept."""
    bad, seen = {2, 5}, list[int]()

    async def function(event: Any) -> None:
        if event.data["n"] in bad:
            raise ValueError("bad number")
        seen.append(event.data["n"])

    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, function, concurrency=4)
        await say(hub, 8)
        letters = await hub.dead_letters.list()
        assert sorted(numbers(each.event for each in letters if each.event)) == [2, 5]
        (failed, _) = await hub.dead_letters.retry_all()
        assert failed.outcome is RetryOutcome.FAILED
        bad.clear()
        assert [each.outcome for each in await hub.dead_letters.retry_all()] == [RetryOutcome.DELIVERED] * 2
        assert sorted(seen) == list(range(8))
        assert sorted(seen[-2:]) == [2, 5]
        assert attachment.statistics().lag == 0
        await say(hub, 2, first=8)
        assert sorted(seen) == list(range(10))


async def test_a_function_of_a_chain_has_letters_that_name_it() -> None:
    """A retry is honest: it fails as long as one of the functions does, and leaves one letter."""
    bad, seen = {1}, list[int]()

    def check(event: Any) -> None:
        if event.data["n"] in bad:
            raise ValueError("bad number")

    async def store(event: Any) -> None:
        seen.append(event.data["n"])

    async with Hub() as hub:
        hub.attach(Chain(check, store), name="both", pattern="number.said")
        await say(hub, 3)
        (letter,) = await hub.dead_letters.list()
        assert (letter.attachment, letter.error_type) == ("both", "ValueError")
        assert letter.error.endswith("check: bad number")
        result = await hub.dead_letters.retry(letter.id)
        assert result.outcome is RetryOutcome.FAILED
        (same,) = await hub.dead_letters.list()
        assert (same.id, same.retries) == (letter.id, 1)
        bad.clear()
        assert (await hub.dead_letters.retry(letter.id)).is_delivered
        assert seen == [0, 1, 2, 1, 1]
        assert not await hub.dead_letters.list()


async def test_a_muted_listener_gets_no_retry() -> None:
    failing = Failing(1)
    async with Hub() as hub:
        attachment = hub.attach(failing, name="loose", pattern="number.said")
        await say(hub, 2)
        (letter,) = await hub.dead_letters.list()
        attachment.mute()
        failing.bad.clear()
        result = await hub.dead_letters.retry(letter.id)
        assert (result.outcome, "unmute" in result.error) == (RetryOutcome.NOT_ATTACHED, True)
        attachment.unmute()
        assert (await hub.dead_letters.retry(letter.id)).is_delivered
