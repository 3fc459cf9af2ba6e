"""What may be attached: a listener, an object with some of the hooks, a function."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from .context import cause
from .errors import ConfigurationError, PartialBatch
from .events import Event
from .listener import HOOKS, from_hooks
from .ports import HubListener

__all__ = ("FunctionListener", "as_listener")


class FunctionListener:
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


def as_listener(candidate: Any) -> HubListener:
    """Return ``candidate`` as a listener. Raises :class:`~hubwire.errors.ConfigurationError` if it cannot be one."""
    if isinstance(candidate, type):
        raise ConfigurationError(f"{candidate.__qualname__} is a class; attach an instance of it")
    if (on_events := getattr(candidate, "on_events", None)) is not None:
        if not inspect.iscoroutinefunction(on_events):
            raise ConfigurationError(f"{candidate!r}.on_events must be a coroutine function: async def on_events(...)")
        return cast(HubListener, candidate)
    if any(hasattr(candidate, name) for name in HOOKS):
        return from_hooks(candidate)
    if callable(candidate):
        return FunctionListener(candidate)
    raise ConfigurationError(
        f"{candidate!r} cannot listen: it has neither on_events nor one of the hooks of BaseHubListener, and is no function"
    )
