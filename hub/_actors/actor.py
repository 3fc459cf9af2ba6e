"""What can be an actor, and how one is made for each of its lives."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import FunctionType, MethodType
from typing import Any

from .. import messages
from .._foreign.frameworks import actor_advice
from .._foreign.guards import is_async
from ..errors import ConfigurationError
from ..events._shown import is_a, nearest_name, shown
from ..listener import HOOKS
from .rules import name_of
from .states import kind_of

__all__ = ("maker_of",)

_METHODS = {"on_envelope": ("turn",), "on_notice": ("turn",), "on_start": ("hub", "agent"), "on_stop": ()}
"""What the hub calls, and with what."""


class _Function:
    def __init__(self, function: Callable[[Any], Awaitable[None]]) -> None:
        self.on_envelope = function


def maker_of(candidate: Any, workers: int = 1) -> Callable[[], Any]:
    """Return what makes the actor at each start.

    Raises :class:`~hubwire.errors.ConfigurationError` if the candidate is neither an actor nor makes one, or is one
    where several ``workers`` are to be made.
    """
    if not is_a(candidate, type) and hasattr(candidate, "on_envelope"):
        _check(candidate)
        if workers > 1:
            raise ConfigurationError(
                f"{shown(candidate)} cannot be {workers} workers at once: pass its class, or a function that makes one"
                " for each"
            )
        return lambda: candidate
    if type(candidate) not in (FunctionType, MethodType) and (advice := _advice(candidate)):
        raise ConfigurationError(f"{shown(candidate)} cannot be an actor as it is{advice}")
    if is_async(candidate):
        _check_call(candidate, candidate, name_of(candidate), ("turn",))
        function = _Function(candidate)
        return lambda: function
    if not callable(candidate):
        raise ConfigurationError(
            f"{shown(candidate)} cannot be an actor: it has no on_envelope, and is neither an async function nor a"
            " factory"
        )
    _check_factory(candidate)

    def make() -> Any:
        actor = candidate()
        if not hasattr(actor, "on_envelope"):
            raise ConfigurationError(
                f"{shown(candidate)} made {shown(actor)}, which is no actor: it has no on_envelope{_advice(actor)}"
            )
        _check(actor)
        return actor

    return make


def _advice(candidate: Any) -> str:
    """Return what to do with an agent of a framework, as the end of an error; a class that is an actor needs none."""
    advice = "" if hasattr(candidate, "on_envelope") else actor_advice(candidate)
    return f"; {advice}" if advice else ""


def _check_factory(candidate: Any) -> None:
    """Refuse a function that takes arguments: it is mostly meant to handle turns, and lacks its ``async``."""
    try:
        inspect.signature(candidate).bind()
    except TypeError as error:
        raise ConfigurationError(
            f"{shown(candidate)} cannot be an actor: what makes one is called without arguments ({error}); write 'async"
            " def' for a function of a turn, or pass an actor that is made already"
        ) from error
    except Exception:  # noqa: BLE001 - Python does not know the signature, as of what is written in C: the call shows
        return


def _check(actor: Any) -> None:
    for name, arguments in _METHODS.items():
        if (method := getattr(actor, name, None)) is None and name != "on_envelope":
            continue
        if not inspect.iscoroutinefunction(method):
            raise ConfigurationError(f"{shown(actor)}: {name} must be a coroutine function: async def {name}(...)")
        _check_call(actor, method, name, arguments)
    names = {name for cls in _own_classes(actor) for name in vars(cls) if name.startswith("on_")}
    _check_names(actor, names)
    kind_of(actor)
    if messages.takes_nothing(actor) and names.isdisjoint(_METHODS):
        raise ConfigurationError(
            f"{shown(actor)} cannot be an actor: it would lose each envelope; give it async def on_envelope(self,"
            " turn), or methods with @handles"
        )


def _check_call(actor: Any, method: Callable[..., Any], name: str, arguments: tuple[str, ...]) -> None:
    """Refuse a method that cannot be called as the hub does: each of its turns would fail."""
    try:
        inspect.signature(method).bind(*arguments)
    except TypeError as error:
        raise ConfigurationError(
            f"{shown(actor)} cannot be an actor: {name} is called as {name}({', '.join(arguments)}) ({error})"
        ) from error
    except Exception:  # noqa: BLE001 - Python does not know the signature, as of what is written in C: the call shows
        return


def _own_classes(actor: Any) -> list[type]:
    """Return the classes of an actor but those that it has from hubwire."""
    return [cls for cls in type(actor).__mro__ if cls.__module__.partition(".")[0] != "hubwire"]


def _check_names(actor: Any, names: set[str]) -> None:
    """Refuse a method that looks like one of those that the hub calls and is none: it would never be called."""
    for name in sorted(names.difference(_METHODS, HOOKS, ("on_event", "on_events"))):
        if near := nearest_name(name, _METHODS, cutoff=0.75):
            raise ConfigurationError(
                f"{shown(actor)} has {name}, which the hub does not call; did you mean {near}? The hub calls"
                f" {', '.join(_METHODS)}"
            )
