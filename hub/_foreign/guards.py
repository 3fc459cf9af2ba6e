"""Calls of code that is not ours, and whatever it may raise."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import anyio

__all__ = ("guarded", "is_cancelled", "message_of", "text_of")

P = ParamSpec("P")
T = TypeVar("T")

_TEXT_MAX = 1000


async def guarded(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Await a call of foreign code. Nothing but an ``Exception`` comes out of it, unless it is cancelled from here."""
    try:
        return await function(*args, **kwargs)
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise RuntimeError("it raised CancelledError, though nobody had cancelled it") from error
    except (SystemExit, GeneratorExit) as error:
        raise RuntimeError(f"it raised {text_of(error)}") from error


def is_cancelled() -> bool:
    """Tell whether the running task is being cancelled by one of the scopes it is in; forget if it cancelled itself."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
    return False


def text_of(error: BaseException) -> str:
    """Return what an exception is and what it says."""
    message = message_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def message_of(error: BaseException) -> str:
    """Return what an exception says, if not too long; its class may be a stranger's, and do anything."""
    try:
        return str(error)[:_TEXT_MAX]
    except Exception as again:  # noqa: BLE001 - it must not become an error of ours
        return f"(its text raised {type(again).__name__})"
