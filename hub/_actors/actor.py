"""What can be an actor, and how one is made for each of its lives."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from .._foreign.guards import guarded, text_of
from ..errors import ConfigurationError

__all__ = ("called", "maker_of", "name_of")


class _Function:
    def __init__(self, function: Callable[[Any], Awaitable[None]]) -> None:
        self.on_envelope = function


def maker_of(candidate: Any) -> Callable[[], Any]:
    """Return what makes the actor at each start.

    Raises :class:`~hubwire.errors.ConfigurationError` if the candidate is neither an actor nor makes one.
    """
    if not isinstance(candidate, type) and hasattr(candidate, "on_envelope"):
        _check(candidate)
        return lambda: candidate
    if inspect.iscoroutinefunction(candidate):
        function = _Function(candidate)
        return lambda: function
    if not callable(candidate):
        raise ConfigurationError(
            f"{candidate!r} cannot be an actor: it has no on_envelope, and is neither an async function nor a factory"
        )

    def make() -> Any:
        actor = candidate()
        _check(actor)
        return actor

    return make


def name_of(candidate: Any) -> str:
    """Return the name of the agent of an actor that was given none: its own, or that of its class or function."""
    own = getattr(candidate, "name", "")
    if isinstance(own, str) and own:
        return own
    name: str = getattr(candidate, "__name__", None) or type(candidate).__name__
    return name


def _check(actor: Any) -> None:
    for name in ("on_envelope", "on_start", "on_stop"):
        if (method := getattr(actor, name, None)) is None and name != "on_envelope":
            continue
        if not inspect.iscoroutinefunction(method):
            raise ConfigurationError(f"{actor!r}.{name} must be a coroutine function: async def {name}(...)")


async def called(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Await a call of the actor's code. Only an ``Exception`` comes out, unless it is cancelled from here."""
    try:
        return await guarded(function, *args)
    except BaseExceptionGroup as group:
        if isinstance(group, Exception):
            raise
        # A task group of the actor's, in which an exception like SystemExit was raised.
        raise RuntimeError(f"it raised {text_of(group)}") from group
