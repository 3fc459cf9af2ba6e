"""A guest whose call begins at once finds what one finds that begins in the next turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire import Hub, Turn
from hubwire._foreign.tasks import GuestTask, LeftBehind, TimeOver
from hubwire.waking import FirstStep
from support import GatedStore, until_idle

BOTH = pytest.mark.parametrize("is_single", [False, True], ids=["later", "at once"])
_place: ContextVar[str] = ContextVar("place", default="nowhere")


def guest_task(is_single: bool) -> GuestTask:
    return GuestTask("first", waiting=nullcontext if is_single else None)


async def called(is_single: bool, function: Callable[..., Awaitable[Any]], *args: Any, **limits: Any) -> Any:
    guest = guest_task(is_single)
    try:
        return await guest.call(function, *args, **limits)
    finally:
        guest.end()


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """No guest of a test goes on."""
    yield
    await until_idle()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "hubwire first"]


# -- what the guest finds --


async def test_it_begins_in_the_same_turn() -> None:
    """Its whole call, if it waits for nothing, with no turn of the loop in between."""
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "next")

    async def guest() -> str:
        return "done"

    assert await called(True, guest) == "done"
    assert not turns


@BOTH
async def test_its_task_is_one_from_beginning_to_end(is_single: bool) -> None:
    """It has its name, is not the caller's, and the guest knows that it runs."""
    guest, seen = guest_task(is_single), list[Any]()

    async def look() -> None:
        for _ in range(2):
            seen.append((asyncio.current_task(), guest.is_current))
            await asyncio.sleep(0)

    await guest.call(look)
    guest.end()
    assert seen[0] == seen[1]
    assert seen[0][0] is not asyncio.current_task()
    assert seen[0][0].get_name() == "hubwire first"
    assert seen[0][1]
    assert not guest.is_current


@BOTH
async def test_its_context_is_a_copy_of_its_callers(is_single: bool) -> None:
    """Before and after its first wait; what it sets there is not seen here."""
    seen: list[str] = []

    async def look() -> None:
        seen.append(_place.get())
        _place.set("guest")
        await asyncio.sleep(0)
        seen.append(_place.get())

    _place.set("caller")
    await called(is_single, look)
    assert seen == ["caller", "guest"]
    assert _place.get() == "caller"


@BOTH
async def test_scopes_and_timeouts_span_its_first_wait(is_single: bool) -> None:
    """Those of asyncio and of anyio, that end in time and that do not."""
    seen: list[str] = []

    async def wait() -> None:
        with anyio.move_on_after(0) as scope:
            await anyio.sleep(60)
        seen.append(f"scope {scope.cancelled_caught}")
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        except TimeoutError:
            seen.append("timeout")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep, 0)
        async with asyncio.timeout(60):
            await asyncio.sleep(0)

    await called(is_single, wait)
    assert seen == ["scope True", "timeout"]


@BOTH
async def test_a_task_group_may_fail_at_once(is_single: bool) -> None:
    """It cancels the guest's task in its first wait."""

    async def fail() -> None:
        raise ValueError("child")

    async def guest() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        await called(is_single, guest)
    assert isinstance(caught.value.exceptions[0], ValueError)


# -- what its first step waits for --


class Odd:
    """Yields what no task takes."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, None]:
        yield self.value


@BOTH
async def test_what_it_waits_for_may_be_shared_or_done(is_single: bool) -> None:
    """Another task waits for the same, and it is done before the guest's task has begun."""
    shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait() -> str:
        return await shared

    other = asyncio.create_task(wait())
    asyncio.get_running_loop().call_soon(shared.set_result, "shared")
    assert await called(is_single, wait) == "shared"
    assert await other == "shared"


@BOTH
@pytest.mark.parametrize("what", ["a number", "a future"])
async def test_what_cannot_be_awaited_is_its_error(is_single: bool, what: str) -> None:
    """A task refuses a value, and a future that is not awaited as futures are."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    odd = Odd(7 if what == "a number" else future)

    async def wait() -> None:
        await odd

    with pytest.raises(RuntimeError):
        await called(is_single, wait)


# -- cancellation --


@BOTH
async def test_it_may_cancel_itself(is_single: bool) -> None:
    """What it waits for is cancelled then, as for any task."""
    child: asyncio.Task[None] | None = None

    async def guest() -> None:
        nonlocal child
        child = asyncio.create_task(asyncio.sleep(60))
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await child

    with pytest.raises(RuntimeError, match="CancelledError"):
        await called(is_single, guest)
    assert child is not None
    assert child.cancelled()


@BOTH
@pytest.mark.parametrize("waits_for", ["a future", "the loop"])
async def test_a_caller_that_is_cancelled_cancels_it(is_single: bool, waits_for: str) -> None:
    """In the very turn in which it has begun, or later."""
    ends: list[str] = []

    async def guest() -> None:
        try:
            if waits_for == "a future":
                await asyncio.get_running_loop().create_future()
            while True:
                await anyio.lowlevel.checkpoint()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    for turns in (1, 3):
        caller = asyncio.create_task(called(is_single, guest))
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    assert len(ends) == 2 if is_single else ends


@BOTH
async def test_one_that_is_being_cancelled_does_not_go_on(is_single: bool) -> None:
    """Also where the guest has ended at once."""
    ends: list[str] = []

    async def guest() -> None:
        ends.append("guest")

    async def caller() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await called(is_single, guest)
        ends.append("caller")

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(caller())
    assert ends == ["guest"]


@BOTH
async def test_it_may_cancel_its_caller(is_single: bool) -> None:
    """Though it ends at once, the caller does not go on."""
    ends: list[str] = []

    async def caller() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def guest() -> None:
            task.cancel()

        await called(is_single, guest)
        ends.append("went on")

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(caller())
    assert not ends


@BOTH
async def test_its_time_counts_from_its_first_wait(is_single: bool) -> None:
    """It is cancelled, and left behind if it swallows that."""

    async def slow() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeOver):
        await called(is_single, slow, seconds=0.001)
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(LeftBehind):
        await called(is_single, deaf, seconds=0.001, grace_seconds=0.002)
    release.set()


async def test_the_first_step_shows_its_frame() -> None:
    """What looks at tasks finds where the guest waits."""

    async def guest() -> None:
        await asyncio.sleep(0)

    first = FirstStep(guest())
    assert first.cr_code.co_name == "guest"
    first.close()


# -- actors --


async def test_a_short_turn_is_one_batch_of_the_journal() -> None:
    """Its beginning, its posts and its end: who asks waits for two appends in a row, and no other."""
    store = GatedStore()

    async def echo(turn: Turn) -> None:
        await turn.reply(turn.content)

    async with Hub(store) as hub:
        actor, asker = await hub.spawn(echo), await hub.agents.register("asker")
        await hub.flush()
        store.appends.clear()
        await hub.ask(asker, actor.agent, "hello")
        assert store.appends == [1, 5]
        assert hub.statistics().committed == hub.statistics().applied


async def test_tasks_run_between_two_turns() -> None:
    """A full inbox does not keep the loop: each turn of the actor is a turn of the loop."""
    handled: list[int] = []

    async def count(turn: Turn) -> None:
        handled.append(turn.content)

    async with Hub() as hub:
        sender = await hub.agents.register("sender")
        reader = await hub.agents.register("reader")
        channel = await hub.channels.open([sender, reader])
        for number in range(20):
            await channel.post(sender, number)
        await hub.spawn(count, name="reader")
        most = before = len(handled)
        while len(handled) < 20:
            await asyncio.sleep(0)
            most, before = max(most, len(handled) - before), len(handled)
        assert most == 1
