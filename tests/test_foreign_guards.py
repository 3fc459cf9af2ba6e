"""Guards: whatever foreign code raises, returns, swallows or says is a bounded failure of that code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire._foreign.guards import class_name, clean, expect, guarded, guarded_call, message_of, repr_of, text_of
from hubwire._foreign.tasks import GuestTask, LeftBehind, called
from hubwire._foreign.timeouts import asked
from hubwire.testing import ManualClock
from support import advance, until_idle


class PanicError(BaseException):
    """As an extension in Rust raises: no ``Exception``."""


class UnspeakableError(Exception):
    """Its text raises what is no ``Exception``."""

    def __str__(self) -> str:
        raise PanicError("no text")

    __repr__ = __str__


class NumberedError(Exception):
    """Its text is no text."""

    def __str__(self) -> Any:
        return 7  # noqa: PLE0307 - that is what it is about


class Sly(str):
    """Text with methods of its own."""

    __slots__ = ()

    def __getitem__(self, key: object) -> str:
        raise PanicError("cut")

    def encode(self, *_: object, **__: object) -> bytes:
        raise PanicError("encoded")


class SlyError(Exception):
    def __str__(self) -> str:
        return Sly("sly")


RAISED: dict[str, Callable[[], BaseException]] = {
    "exit": lambda: SystemExit(3),
    "closed": GeneratorExit,
    "panic": lambda: PanicError("unwrap"),
    "cancelled": asyncio.CancelledError,
    "group": lambda: BaseExceptionGroup("two", [asyncio.CancelledError(), ValueError("x")]),
    "cancelled group": lambda: BaseExceptionGroup("one", [asyncio.CancelledError()]),
    "nested group": lambda: BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [KeyboardInterrupt()])]),
    "stop": StopIteration,
}


@pytest.mark.parametrize("error", RAISED.values(), ids=RAISED)
async def test_only_exceptions_leave_a_guard(error: Callable[[], BaseException]) -> None:
    """What is no Exception is raised as one that names it, from calls, in this task and in a task of its own."""

    def fails() -> None:
        raise error()

    async def fails_later() -> None:
        await anyio.lowlevel.checkpoint()
        raise error()

    for attempt in (lambda: guarded(fails_later), lambda: called(fails_later), lambda: asked(CLOCK, 1, fails_later)):
        with pytest.raises(RuntimeError):
            await attempt()
    with pytest.raises(RuntimeError):
        guarded_call(fails)


CLOCK = ManualClock()


async def test_an_interrupt_in_a_guest_is_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """KeyboardInterrupt is the guest's own, unless no runner turns Ctrl-C into a cancellation."""

    async def interrupts() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("signal.getsignal", lambda _: None)
    with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        await called(interrupts)


async def test_exceptions_pass_as_they_are() -> None:
    """An ordinary exception is the same object outside."""
    error = ValueError("mine")

    async def fails() -> None:
        raise error

    for attempt in (guarded, called):
        with pytest.raises(ValueError, match="mine") as caught:
            await attempt(fails)
        assert caught.value is error


async def test_outside_cancellation_passes_through() -> None:
    """The caller's cancellation reaches the guest, and then the caller, also from a group."""
    seen = []

    async def waits() -> None:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError as error:
            seen.append("cancelled")
            raise BaseExceptionGroup("group", [error]) from None

    for attempt in (guarded, called):
        with anyio.CancelScope() as scope:
            task_scope = scope
            asyncio.get_running_loop().call_soon(task_scope.cancel)
            await attempt(waits)
        assert scope.cancelled_caught
    assert seen == ["cancelled", "cancelled"]


async def test_a_native_cancellation_passes_through() -> None:
    """A task that awaits a guest can be cancelled."""
    task = asyncio.create_task(called(anyio.sleep_forever))
    await until_idle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_swallowed_cancellation_leaves_the_guest_behind() -> None:
    """A guest that goes on after its time is left behind, and is not called again."""
    release = asyncio.Event()

    async def deaf() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass
        return "late"

    guest = GuestTask()
    with pytest.raises(LeftBehind, match="goes on though it was cancelled"):
        await guest.call(deaf, seconds=0, grace_seconds=0.01)
    assert guest.is_still_running
    with pytest.raises(LeftBehind, match="called no more"):
        await guest.call(deaf)
    release.set()
    await until_idle()
    assert not guest.is_still_running


async def test_a_deaf_guest_does_not_keep_its_caller() -> None:
    """A caller that is cancelled waits no longer than the grace."""
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass

    with anyio.move_on_after(0) as scope:
        await called(deaf, grace_seconds=0.01)
    assert scope.cancelled_caught
    release.set()
    await until_idle()


async def test_late_answers_are_failures() -> None:
    """A guest that answers because it was cancelled has not answered in time."""

    async def late() -> str:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            pass
        return "late"

    guest = GuestTask()
    with pytest.raises(TimeoutError, match=r"longer than 0 s$"):
        await guest.call(late, seconds=0)
    assert not guest.is_still_running
    with pytest.raises(TimeoutError):
        await guest.call(late, seconds=0)  # it can be called again
    guest.end()


async def test_calls_of_one_guest_share_a_task() -> None:
    """A scope that one call has entered can be left by another."""
    guest = GuestTask()
    scope = anyio.CancelScope()
    tasks = []

    async def enter() -> None:
        tasks.append(asyncio.current_task())
        scope.__enter__()

    async def leave() -> None:
        tasks.append(asyncio.current_task())
        scope.__exit__(None, None, None)

    await guest.call(enter)
    await guest.call(leave)
    guest.end()
    assert tasks[0] is tasks[1] is not asyncio.current_task()


async def test_a_broken_scope_between_calls_costs_no_time() -> None:
    """A scope of the guest that is cancelled between two calls fails the next one, and spins no loop meanwhile."""
    guest = GuestTask()
    scope = anyio.CancelScope()

    async def enter() -> None:
        scope.__enter__()

    await guest.call(enter)
    scope.cancel()
    await until_idle()
    with pytest.raises(RuntimeError, match="CancelledError"):
        await guest.call(anyio.sleep, 0)

    async def leave() -> None:
        scope.__exit__(None, None, None)

    await guest.call(leave)
    guest.end()


async def test_a_guest_that_cancels_itself_only_fails() -> None:
    """Cancelling its own task fails the call at which it happens, or none, and never the hub's own code."""
    guest = GuestTask()

    async def suicidal() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return 5

    assert await guest.call(suicidal) == 5
    assert await guest.call(suicidal) == 5
    guest.end()


async def test_a_plug_in_is_timed_by_the_clock() -> None:
    """A plug-in that hangs is cancelled when the hub's clock says so."""
    clock = ManualClock()
    task = asyncio.create_task(asked(clock, 5, anyio.sleep_forever))
    await advance(clock, 4.9)
    assert not task.done()
    await advance(clock, 0.2)
    with pytest.raises(TimeoutError, match="longer than 5 s"):
        await task


async def test_a_clock_that_fails_ends_the_call() -> None:
    """A guest is not awaited for ever because the clock raised."""

    class Broken(ManualClock):
        async def sleep(self, seconds: float) -> None:
            raise OSError("no clock")

    with pytest.raises(OSError, match="no clock"):
        await asked(Broken(), 5, anyio.sleep_forever)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UnspeakableError(), "UnspeakableError: (its text raised PanicError)"),
        (NumberedError(), "NumberedError: (its text raised TypeError)"),
        (SlyError(), "SlyError: sly"),
        (ValueError("x" * 10_000_000), "ValueError: " + "x" * 1000),
        (ValueError("\ud800"), "ValueError: \\ud800"),
        (type("N" * 1000, (Exception,), {})("x"), "N" * 200 + ": x"),
        (ValueError(), "ValueError"),
    ],
)
def test_what_errors_say_is_bounded_text(error: Exception, text: str) -> None:
    """The text of a foreign exception is short, storable and a plain string, whatever its class does."""
    assert text_of(error) == text
    assert type(message_of(error)) is str


def test_classes_have_their_own_names() -> None:
    """A metaclass that computes the name is not asked."""

    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise PanicError("no name")

    class Odd(metaclass=Meta):
        pass

    assert class_name(Odd()) == "Odd"
    assert repr_of(UnspeakableError()) == "(its text raised PanicError)"
    assert clean(Sly("x" * 5), 3) == "xxx"


def test_answers_are_checked_by_their_type() -> None:
    """True is no number, and an object that lies about its class is believed by no check."""

    class Liar:
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            return int

    assert expect(5, int, "a whole number") == 5
    assert expect(True, bool, "a yes or no") is True
    assert expect(None, (int, type(None)), "a number or None") is None
    for wrong in (True, 1.0, "1", Liar()):
        with pytest.raises(TypeError, match=r"it returned .*, not a whole number"):
            expect(wrong, int, "a whole number")


async def test_progress_prolongs_a_call() -> None:
    """A call that gets on has its time anew; one that stands still is cancelled."""
    steps = 0
    loop = asyncio.get_running_loop()
    later: list[Callable[[], None]] = []

    def call_at(when: float, look: Callable[..., None], *args: object) -> asyncio.TimerHandle:
        later.append(partial(look, *args))
        return asyncio.TimerHandle(when, look, args, loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_at", call_at)
        task = asyncio.create_task(called(asyncio.Event().wait, seconds=1, progress=lambda: steps))
        for number in range(8):
            steps = number
            await until_idle()
            later.pop()()
        for _ in range(3):
            later.pop()()
            await until_idle()
            assert not task.done()
        later.pop()()
        patch.undo()
        with pytest.raises(TimeoutError):
            await task
