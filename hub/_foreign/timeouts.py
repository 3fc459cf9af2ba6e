"""Waiting for foreign code, but not for ever, by the hub's clock."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import anyio

from ..ports import Clock
from .guards import guarded, text_of

__all__ = ("asked",)


async def asked(clock: Clock, seconds: float, function: Callable[..., Any], *args: Any) -> Any:
    """Call a plug-in, await what it returns if that can be awaited, and return its answer.

    Raises ``TimeoutError`` after ``seconds``, when it is cancelled; otherwise nothing but an ``Exception`` comes out of
    it, unless it is cancelled from here. A plug-in that answers at once costs nothing more than the call.
    """
    try:
        answer = function(*args)
    except (asyncio.CancelledError, SystemExit, GeneratorExit) as error:
        raise RuntimeError(f"it raised {text_of(error)}") from error
    if not inspect.isawaitable(answer):
        return answer
    result: list[Any] = []
    failure: list[Exception] = []

    async def work() -> None:
        try:
            result.append(await guarded(_itself, answer))
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


async def _itself(awaitable: Any) -> Any:
    return await awaitable
