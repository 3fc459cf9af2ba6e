"""Waiting for foreign code, but not for ever, by the hub's clock."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

from ..clock import SystemClock
from ..ports import Clock
from .guards import failure_of, guarded, guarded_call
from .tasks import called

__all__ = ("asked", "asked_now", "within")

T = TypeVar("T")


async def asked(clock: Clock, seconds: float, function: Callable[..., Any], *args: Any, name: str = "guest") -> Any:
    """Call a plug-in, await what it returns if that can be awaited, and return its answer; ``name`` says whose it is.

    Raises ``TimeoutError`` after ``seconds``, when it is cancelled, also if it answers then; one that goes on all the
    same is left behind. Otherwise only an ``Exception`` comes out of it, unless the caller is cancelled. A
    plug-in that answers at once costs no more than the call.
    """
    answer = guarded_call(function, *args)
    if not guarded_call(inspect.isawaitable, answer):
        return answer
    has_begun = False

    async def itself() -> Any:
        nonlocal has_begun
        has_begun = True
        return await answer

    try:
        return await called(itself, seconds=seconds, clock=clock, name=name)
    finally:
        if not has_begun and inspect.iscoroutine(answer):
            answer.close()


def asked_now(function: Callable[..., Any], *args: Any) -> Any:
    """Call a plug-in for a caller that cannot wait, and return its answer; ``TypeError`` if it has to be awaited.

    Only an ``Exception`` comes out of it.
    """
    answer = guarded_call(function, *args)
    if not guarded_call(inspect.isawaitable, answer):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    raise TypeError("it would have to be awaited, and this call cannot wait; await hub.emit(...)")


async def within(clock: Clock, seconds: float, function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Await code of ours, for at most ``seconds``: then it is cancelled, and ``TimeoutError`` is raised when it ended.

    Only an ``Exception`` comes out of it, unless it is cancelled from here.
    """
    if type(clock) is SystemClock:
        with anyio.move_on_after(seconds):
            try:
                return await function(*args)
            except asyncio.CancelledError:
                raise  # by the scope, or by who cancels the caller: it is code of ours, and does not cancel by itself
            except BaseException as error:
                as_its_own = failure_of(error)
                if as_its_own is error:
                    raise
                raise as_its_own from error
        raise TimeoutError(f"it took longer than {seconds:g} s")
    result: list[T] = []
    failure: list[Exception] = []

    async def work() -> None:
        try:
            result.append(await guarded(function, *args))
        except Exception as error:  # noqa: BLE001 - it is raised again, below: not as one of a group
            failure.append(error)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await clock.sleep(seconds)
        if not result and not failure:
            failure.append(TimeoutError(f"it took longer than {seconds:g} s"))
        tasks.cancel_scope.cancel()
    if failure and not result:
        raise failure[0]
    return result[0]
