"""Dead letters of listeners: what is one, what it holds, how it is listed and discarded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import (
    AttachmentState,
    DeadLetterPolicy,
    DeadLetterReason,
    Duty,
    Event,
    GenericEvent,
    Hub,
    InboxRule,
    RetryOutcome,
)
from hubwire.errors import (
    CommandRejected,
    ConfigurationError,
    ContentRefused,
    EventInvalid,
    HubClosed,
    NotFound,
)
from hubwire.events import ListenerFailed, ListenerLettersRemoved, ListenerSuspended
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder, history
from support import numbers, pass_time, said, until_idle
from support.durable import Failing
from support.letters import durable, say

ALL = 1000


# --- what is one ----------------------------------------------------------------------------------------------------


async def test_a_durable_listener_may_go_on_after_a_letter() -> None:
    """It is tried as often as it may be, then goes on; the letter says what there is to know."""
    clock, failing = ManualClock(), Failing(1)
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = durable(hub, failing, attempts_max=3)
        for n in range(3):
            await hub.emit(said(n))
        await pass_time(clock, 5)
        assert numbers(failing.events) == [0, 2]
        assert attachment.state is AttachmentState.RUNNING
        (letter,) = await hub.dead_letters.list()
        assert letter.event is not None
        assert numbers([letter.event]) == [1]
        assert (letter.origin, letter.attachment, letter.agent_id) == ("listener", "picky", None)
        assert (letter.reason, letter.kind) == (DeadLetterReason.HANDLER_ERROR, "number.said")
        assert (letter.error_type, letter.error) == ("ValueError", "bad number")
        assert "on_events" in letter.traceback
        assert (letter.attempts, letter.retries, letter.count, letter.duty) == (3, 0, 1, Duty.DURABLE)
        assert letter.first_at == letter.last_at
        assert attachment.statistics().dead_letters == 1
        assert "listener 'picky' is owed 1 events" in hub.health().problems[0]


async def test_a_durable_listener_is_suspended_by_default() -> None:
    failing = Failing(1)
    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, failing, when_exhausted="suspend")
        await say(hub, 3)
        assert attachment.state is AttachmentState.SUSPENDED
        assert not await hub.dead_letters.list()


async def test_a_best_effort_failure_is_always_a_letter() -> None:
    """Also in memory, and also the last failure before it is detached."""
    clock, failing = ManualClock(), Failing(1, 3)
    async with Hub(clock=clock) as hub:
        hub.attach(failing, name="loose", pattern="number.said")
        for n in range(5):
            await hub.emit(said(n))
        await pass_time(clock, 3)
        letters = await hub.dead_letters.list()
        assert numbers(each.event for each in letters if each.event) == [1, 3]
        assert {each.duty for each in letters} == {Duty.BEST_EFFORT}
        assert hub.health().healthy
        assert "2 dead letters are kept that are owed to no listener" in hub.health().notes[0]


async def test_a_listener_that_is_detached_has_all_its_letters() -> None:
    clock, failing = ManualClock(), Failing(*range(10))
    async with Hub(clock=clock) as hub:
        attachment = hub.attach(failing, name="loose", pattern="number.said")
        for n in range(10):
            await hub.emit(said(n))
        await pass_time(clock, 4)
        assert attachment.state is AttachmentState.DETACHED
        assert numbers(each.event for each in await hub.dead_letters.list() if each.event) == [0, 1, 2, 3]


async def test_a_required_listener_never_gives_up() -> None:
    async with Hub(MemoryStore()) as hub:
        with pytest.raises(ConfigurationError, match="a REQUIRED one never gives up"):
            durable(hub, Recorder(), duty=Duty.REQUIRED)
        with pytest.raises(ConfigurationError, match="when_exhausted must be 'suspend' or 'dead_letter', not 'drop'"):
            durable(hub, Recorder(), when_exhausted="drop")


async def hang(_: Event) -> None:
    await anyio.sleep_forever()


def raising(error: Callable[[], BaseException]) -> Callable[[Event], Any]:
    async def listen(_: Event) -> None:
        raise error()

    return listen


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (lambda: ValueError("bad"), DeadLetterReason.HANDLER_ERROR),
        (lambda: SystemExit("bad"), DeadLetterReason.HANDLER_ERROR),
        (lambda: ExceptionGroup("both", [ValueError("one"), KeyError("two")]), DeadLetterReason.ALL_FAILED),
        (lambda: ContentRefused("not a Bill"), DeadLetterReason.VALIDATION),
        (lambda: EventInvalid("no amount", kind="a.b", field="amount"), DeadLetterReason.VALIDATION),
        ("\ud800".encode, DeadLetterReason.SERIALIZATION),
    ],
    ids=["an error", "an exit", "a group", "content", "an event", "a text"],
)
async def test_an_error_has_its_reason(error: Callable[[], BaseException], reason: DeadLetterReason) -> None:
    async with Hub(MemoryStore()) as hub:
        durable(hub, raising(error))
        await say(hub, 1)
        (letter,) = await hub.dead_letters.list(reason=reason)
        assert letter.error_type
        assert letter.traceback


async def test_a_listener_that_hangs_has_a_timeout() -> None:
    """What the listener itself raises as TimeoutError is none of the hub's."""
    async with Hub(MemoryStore()) as hub:
        durable(hub, hang, timeout=0.1, name="hangs")
        durable(hub, raising(lambda: TimeoutError("its own")), name="says so")
        await say(hub, 1)
        (letter,) = await hub.dead_letters.list(reason=DeadLetterReason.TIMEOUT)
        assert (letter.attachment, letter.error_type) == ("hangs", "ListenerTimeout")
        (letter,) = await hub.dead_letters.list(reason=DeadLetterReason.HANDLER_ERROR)
        assert letter.attachment == "says so"


async def test_what_a_mailbox_drops_is_one_letter_a_second() -> None:
    """It names each stretch; those that were handled in between are not meant."""
    slow = GatedRecorder()
    slow.close()
    async with Hub(MemoryStore()) as hub:
        attachment = hub.attach(slow, name="slow", pattern="number.said", mailbox=5)
        await attachment.ready()
        await hub.emit(said(0))
        await until_idle()
        for n in range(1, 301):
            hub.emit_nowait(said(n))
        slow.open()
        await hub.flush()
        (letter,) = await hub.dead_letters.list(reason=DeadLetterReason.OVERFLOW)
        dropped = attachment.statistics().dropped
        assert letter.count == dropped == 301 - len(slow.events)
        assert letter.event is None
        missed = [seq for first, last in letter.ranges for seq in range(first, last + 1)]
        assert not set(missed).intersection(each.seq for each in slow.events)
        result = await hub.dead_letters.retry(letter.id)
        assert result.outcome is RetryOutcome.DELIVERED
        assert sorted(numbers(slow.events)) == list(range(301))
        assert not await hub.dead_letters.list()


async def test_an_event_that_is_skipped_is_a_letter() -> None:
    """Resumed after the event at which it has failed, a listener has given it up."""
    failing = Failing(1)
    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, failing, when_exhausted="suspend")
        await say(hub, 3)
        attachment.resume(skip_missed=True)
        await hub.flush()
        (letter,) = await hub.dead_letters.list(reason=DeadLetterReason.DROPPED)
        assert (letter.error_type, letter.error) == ("ValueError", "bad number")
        failing.bad.clear()
        assert (await hub.dead_letters.retry(letter.id)).is_delivered
        assert numbers(failing.events) == [0, 2, 1]


@pytest.mark.slow
async def test_an_event_that_killed_its_listener_is_a_letter() -> None:
    """A BEST_EFFORT listener that goes on though it was cancelled is detached; its event is not forgotten."""

    async def deaf(_: Event) -> None:
        while True:
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                if over:
                    raise

    over: list[bool] = []
    async with Hub() as hub:
        attachment = hub.attach(deaf, name="deaf", timeout=0.01, pattern="number.said")
        await hub.emit(said())
        await attachment.drain(10**9)
        (letter,) = await hub.dead_letters.list()
        assert letter.reason is DeadLetterReason.TIMEOUT
        assert (await hub.dead_letters.retry(letter.id)).outcome is RetryOutcome.NOT_ATTACHED
        over.append(True)


# --- reports --------------------------------------------------------------------------------------------------------


async def test_listener_failed_names_all_that_was_given_up() -> None:
    """Each seq is in one announcement, though these are few."""
    clock, failing = ManualClock(), Failing(*range(100))
    async with Hub(MemoryStore(), clock=clock) as hub:
        durable(hub, failing)
        for n in range(100):
            await hub.emit(said(n))
        await pass_time(clock, 3)
        events = await history(hub)
        failed = [each for each in events if isinstance(each, ListenerFailed)]
        given_up = [seq for each in failed for seq in each.given_up]
        assert given_up == [each.seq for each in events if each.kind == "number.said"]
        assert len(failed) <= 3
        assert sum(each.count for each in failed) == 100


async def test_a_suspended_listener_has_given_up_nothing() -> None:
    failing = Failing(0)
    async with Hub(MemoryStore()) as hub:
        durable(hub, failing, when_exhausted="suspend")
        await say(hub, 1)
        events = await history(hub)
        assert any(isinstance(each, ListenerSuspended) for each in events)
        assert all(not each.given_up for each in events if isinstance(each, ListenerFailed))


async def test_statistics_have_every_number() -> None:
    failing = Failing(1, 2, 3)
    async with Hub(MemoryStore()) as hub:
        assert hub.statistics().listener_letters is None
        assert hub.dead_letters.statistics().kept == 0
        durable(hub, failing)
        await say(hub, 5)
        found = hub.statistics().listener_letters
        assert found is not None
        assert (found.kept, found.waiting, found.dropped, found.lost, found.damaged) == (3, 0, 0, 0, 0)
        assert (found.by_attachment, found.by_reason) == ({"picky": 3}, {"handler_error": 3})
        letters = await hub.dead_letters.list()
        assert (found.oldest_at, found.newest_at) == (letters[0].first_at, letters[-1].first_at)
        assert found.size_bytes == sum(each.size_bytes for each in letters)
        failing.bad.clear()
        await hub.dead_letters.retry(letters[0].id)
        await hub.dead_letters.discard(letters[1].id)
        found = hub.dead_letters.statistics()
        assert (found.kept, found.retried, found.discarded) == (1, 1, 1)


async def test_a_listener_that_fails_at_all_events_comes_to_an_end() -> None:
    """It gets the hub's events about its own failures, and those lead to no more."""
    async with Hub(MemoryStore()) as hub:
        attachment = durable(hub, raising(lambda: ValueError("bad")), pattern="*")
        await say(hub, 5)
        await until_idle()
        await hub.flush()
        letters = await hub.dead_letters.list()
        assert {each.kind for each in letters} >= {"number.said", "listener.failed"}
        assert len(letters) == hub.statistics().committed - attachment.begins_seq
        assert attachment.state is AttachmentState.RUNNING


async def test_a_close_gives_up_nothing() -> None:
    """An event that was not tried often enough when the hub ended comes again."""
    store, failing = MemoryStore(), Failing(0)
    async with Hub(store, close_seconds_max=0.5) as hub:
        durable(hub, failing, attempts_max=16, since="start")
        await hub.emit(said(0))
        await until_idle()
        assert failing.calls > 0
    failing.bad.clear()
    async with Hub(store) as hub:
        durable(hub, failing, attempts_max=16)
        await hub.flush()
        assert not await hub.dead_letters.list()
        assert numbers(failing.events) == [0]


# --- looking --------------------------------------------------------------------------------------------------------


async def test_letters_are_listed_by_page_and_choice() -> None:
    """The id of a letter that is gone by then still says where to go on."""
    failing = Failing(*range(10))
    async with Hub(MemoryStore()) as hub:
        durable(hub, Failing(0), name="other")
        durable(hub, failing)
        await say(hub, 10)
        assert len(await hub.dead_letters.list(attachment="other")) == 1
        assert len(await hub.dead_letters.list(kind="number.*")) == 11
        assert not await hub.dead_letters.list(kind="text.*")
        found: list[Any] = []
        while page := await hub.dead_letters.list(limit=4, after=found[-1].id if found else None):
            found += page
            await hub.dead_letters.discard(page[-1].id)
        assert len(found) == 11
        assert sorted(each.id for each in found) == [each.id for each in found]
        letter = (await hub.dead_letters.list())[0]
        assert await hub.dead_letters.get(letter.id) == letter
        with pytest.raises(NotFound, match=r"hub.dead_letters.get\(\): there is no dead letter 'nothing'"):
            await hub.dead_letters.get("nothing")


async def test_letters_of_inboxes_are_in_the_same_place() -> None:
    """They are retried and discarded by what there is for them."""
    async with Hub(MemoryStore()) as hub:
        a = await hub.agents.register("a")
        b = await hub.agents.register("b", rule={"inbox": InboxRule(deliveries_max=1, capacity=2)})
        channel = await hub.channels.open([a, b])
        inbox = b.inbox()
        for n in range(2):
            await channel.post(a, f"hello {n}")
            await (await anext(inbox)).nack("no")
        durable(hub, Failing(0))
        await say(hub, 1)
        first, second, third = await hub.dead_letters.list()
        assert [each.origin for each in (first, second, third)] == ["inbox", "inbox", "listener"]
        assert (first.agent_id, first.attachment, first.error, first.kind) == (b.id, None, "no", "envelope.posted")
        assert await hub.dead_letters.get(first.id) == first
        result = await hub.dead_letters.retry(first.id)
        assert (result.outcome, result.is_delivered) == (RetryOutcome.REDELIVERED, True)
        assert (await anext(inbox)).content == "hello 0"
        await channel.post(a, "one more")
        assert (await hub.dead_letters.retry(second.id)).outcome is RetryOutcome.FAILED
        await hub.dead_letters.discard(second.id, reason="not now")
        assert [each.id for each in await hub.dead_letters.list()] == [third.id]
        assert hub.dead_letters.statistics().inbox == 0


# --- bounds ---------------------------------------------------------------------------------------------------------


async def test_the_oldest_are_dropped_and_counted() -> None:
    clock, failing = ManualClock(), Failing(*range(20))
    async with Hub(MemoryStore(), clock=clock, dead_letters=DeadLetterPolicy(count_max=5)) as hub:
        durable(hub, failing)
        for n in range(20):
            await hub.emit(said(n))
        letters = await hub.dead_letters.list()
        assert numbers(each.event for each in letters if each.event) == list(range(15, 20))
        assert hub.dead_letters.statistics().dropped == 15
        assert any("15 dead letters of DURABLE listeners were dropped" in each for each in hub.health().problems)
        await pass_time(clock, 2)
        removed = [each for each in await history(hub) if isinstance(each, ListenerLettersRemoved)]
        assert sum(each.count for each in removed if each.reason == "dropped") == 15


async def test_letters_are_bounded_by_bytes() -> None:
    """One that alone has more is kept until the next one comes."""
    async with Hub(MemoryStore(), dead_letters=DeadLetterPolicy(bytes_max=10_000)) as hub:
        durable(hub, raising(lambda: ValueError("bad")), pattern="text.said")
        for n in range(10):
            await hub.emit(GenericEvent(kind="text.said", data={"text": "x" * 3000, "n": n}))
        await hub.flush()
        letters = await hub.dead_letters.list()
        assert len(letters) == 2
        await hub.emit(GenericEvent(kind="text.said", data={"text": "x" * 300_000}))
        await hub.flush()
        (letter,) = await hub.dead_letters.list()
        assert letter.size_bytes > 300_000


async def test_letters_become_too_old() -> None:
    clock = ManualClock()
    async with Hub(MemoryStore(), clock=clock, dead_letters=DeadLetterPolicy(age_seconds_max=3600)) as hub:
        durable(hub, raising(lambda: ValueError("bad")))
        await hub.emit(said(0))
        await hub.flush()
        clock.advance(1800)
        await hub.emit(said(1))
        await hub.flush()
        assert len(await hub.dead_letters.list()) == 2
        clock.advance(1801)
        assert len(await hub.dead_letters.list()) == 1
        assert hub.dead_letters.statistics().dropped == 1


# --- arguments ------------------------------------------------------------------------------------------------------


async def test_arguments_are_checked() -> None:
    async with Hub(MemoryStore()) as hub:
        letters: Any = hub.dead_letters
        calls: tuple[Callable[[], Any], ...] = (
            lambda: letters.list(attachment=5),
            lambda: letters.list(kind="\ud800"),
            lambda: letters.list(kind="Not A Kind"),
            lambda: letters.list(reason="timeout"),
            lambda: letters.list(after=5),
            lambda: letters.list(limit=0),
            lambda: letters.get(None),
            lambda: letters.retry("x" * 1000),
            lambda: letters.retry("x", as_kept=1),
            lambda: letters.retry_all(attempts_max=0),
            lambda: letters.retry_all(attachment=b"x"),
            lambda: letters.discard("x", reason=5),
            lambda: letters.discard_all(older_than_seconds=-1),
            lambda: letters.discard_all(attachment=5),
        )
        for call in calls:
            with pytest.raises(CommandRejected, match=r"^hub\.dead_letters\.\w+\(\): "):
                await call()
    wrong: dict[str, Any]
    for wrong in ({"count_max": 0}, {"bytes_max": 5}, {"age_seconds_max": -1}, {"redactor": "all"}):
        with pytest.raises(ConfigurationError, match=r"^DeadLetterPolicy\(\): "):
            DeadLetterPolicy(**wrong)
    with pytest.raises(ConfigurationError, match="write DeadLetterPolicy"):
        Hub(dead_letters=5)  # type: ignore[arg-type]
    with pytest.raises(HubClosed):
        await hub.dead_letters.list()


async def test_another_loop_is_refused() -> None:
    """It would wait for ever, and so would a hub that is not started, or has ended."""
    hub = Hub(MemoryStore())
    with pytest.raises(HubClosed):
        await hub.dead_letters.list()
    async with hub:
        with pytest.raises(ConfigurationError, match="event loop"):
            await anyio.to_thread.run_sync(lambda: asyncio.run(hub.dead_letters.retry_all()))
    with pytest.raises(HubClosed):
        await hub.dead_letters.discard_all()
    assert hub.dead_letters.statistics().kept == 0


async def test_a_letter_holds_bounded_text() -> None:
    """A hostile error has no more than its place, and an error without end no more than its first part."""

    class Hostile(Exception):
        def __str__(self) -> str:
            raise SystemExit

    async with Hub(MemoryStore()) as hub:
        durable(hub, raising(Hostile), name="hostile")
        durable(hub, raising(lambda: ValueError("\ud800" + "x" * 1_000_000)), name="long")
        await say(hub, 1)
        hostile, long = await hub.dead_letters.list()
        if hostile.attachment != "hostile":
            hostile, long = long, hostile
        assert "its text raised SystemExit" in hostile.error
        assert len(long.error) <= 1010
        assert len(long.traceback) <= 8000
