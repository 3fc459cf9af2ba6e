"""What is foreign: the objects that are attached as listeners, and whatever their code may raise."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import anyio

from .context import cause
from .errors import ConfigurationError, HubError, PartialBatch
from .events import Event
from .listener import HOOKS, BaseHubListener, from_hooks

__all__ = ("Adapted", "ListenerTimeout", "guarded", "is_cancelled", "message_of", "text_of")

P = ParamSpec("P")
T = TypeVar("T")

_TEXT_MAX = 1000

OnEvents = Callable[[Sequence[Event]], Awaitable[None]]


class Adapted:
    """A listener, whatever it is: all that the port leaves open is asked here.

    Raises :class:`~hubwire.errors.ConfigurationError` if ``candidate`` cannot listen.
    """

    def __init__(self, candidate: Any) -> None:
        self.on_events: OnEvents = _on_events_of(candidate)
        self._candidate = candidate

    def declared(self, name: str, default: T) -> T:
        """Return what the listener says of itself: its ``duty``, ``since`` or ``hub_id``."""
        value: T | None = getattr(self._candidate, name, None)
        return default if value is None else value

    def bind(self, hub: object) -> None:
        if hasattr(self._candidate, "bind"):
            self._candidate.bind(hub)

    async def enter(self) -> None:
        if self._is_context:
            await self._candidate.__aenter__()

    async def leave(self) -> None:
        if self._is_context:
            await self._candidate.__aexit__(None, None, None)

    @property
    def _is_context(self) -> bool:
        return hasattr(type(self._candidate), "__aenter__")

    async def last_seq(self) -> int | None:
        """Return the position that the listener keeps itself; None if it keeps none. Async only to be guarded."""
        if not hasattr(self._candidate, "last_seq"):
            return None
        position: int | None = self._candidate.last_seq()
        return position


def _on_events_of(candidate: Any) -> OnEvents:
    if isinstance(candidate, type):
        raise ConfigurationError(f"{candidate.__qualname__} is a class; attach an instance of it")
    if isinstance(candidate, BaseHubListener):
        _check_async(candidate, "on_events", "on_event", *HOOKS)
        return candidate.on_events
    if hasattr(candidate, "on_events"):
        _check_async(candidate, "on_events")
        on_events: OnEvents = candidate.on_events
        return on_events
    if hooks := [name for name in HOOKS if hasattr(candidate, name)]:
        _check_async(candidate, *hooks)
        return from_hooks(candidate).on_events
    if callable(candidate):
        return _FunctionListener(candidate).on_events
    raise ConfigurationError(
        f"{candidate!r} cannot listen: it has neither on_events nor one of the hooks of BaseHubListener,"
        " and is no function"
    )


def _check_async(candidate: Any, *names: str) -> None:
    for name in names:
        if not inspect.iscoroutinefunction(getattr(candidate, name)):
            raise ConfigurationError(f"{candidate!r}.{name} must be a coroutine function: async def {name}(...)")


class _FunctionListener:
    """Calls a function for each event. A sync one runs on the loop: it must not block."""

    def __init__(self, function: Callable[[Event], Awaitable[None] | None]) -> None:
        self._function = function

    async def on_events(self, events: Sequence[Event]) -> None:
        handled = 0
        try:
            for event in events:
                cause(event)
                result = self._function(event)
                if inspect.isawaitable(result):
                    await result
                handled += 1
        except Exception as error:
            raise PartialBatch(handled) from error


# --- what foreign code raises ---------------------------------------------------------------------------------------


class ListenerTimeout(HubError):
    """A listener took longer than its attachment's timeout, and was cancelled."""


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
