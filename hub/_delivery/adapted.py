"""Listeners of any form behind one face: objects with ``on_events``, objects with some hooks, functions."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ..context import cause
from ..errors import ConfigurationError, PartialBatch
from ..events import Event
from ..listener import HOOKS, BaseHubListener, from_hooks

__all__ = ("Adapted",)

T = TypeVar("T")

OnEvents = Callable[[Sequence[Event]], Awaitable[None]]


class Adapted:
    """A listener of any form. What the port leaves open is found out here.

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
        " and is not a function"
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
