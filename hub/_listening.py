"""Listening: how listeners are attached to a hub, found and detached; :class:`~hubwire.Hub` says what each promises."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

from ._arguments import DETACH, ON, check_settings, options_of, pattern_of
from ._delivery.attachment import Attachment
from ._foreign.arguments import is_a, nearest, shown
from ._parts import Parts
from .errors import ConfigurationError, NotFound
from .patterns import Patterns

__all__ = ("Listening",)

F = TypeVar("F", bound=Callable[..., Any])


class Listening:
    """What the methods of the same names of a hub do."""

    def __init__(self, parts: Parts, hub: Any) -> None:
        self._fanout = parts.fanout
        self._lifecycle = parts.lifecycle
        self._hub = hub

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        return tuple(self._fanout.attachments)

    def attach(self, listener: Any, *, in_loop: object, **settings: Any) -> Attachment:
        options = options_of(in_loop=in_loop, **settings)
        return self._fanout.attach(listener, options, self._hub, in_loop=in_loop is True)

    # -- functions --

    def on(self, patterns: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        check_settings(settings)
        if len(patterns) == 1 and _is_function(patterns[0]):
            self._hub.attach(patterns[0], **settings)
            return patterns[0]
        settings["pattern"] = self._pattern_of(patterns, settings)

        def decorate(function: F) -> F:
            self._hub.attach(function, **settings)
            return function

        return decorate

    @staticmethod
    def _pattern_of(patterns: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Return the pattern that is given: by position, several of them or a list, or by its name."""
        if "pattern" in settings:
            if patterns:
                raise ConfigurationError("hub.on(): patterns are given by position and by name; give them once")
            patterns = (settings["pattern"],)
        for each in patterns:
            if _is_function(each):
                raise ConfigurationError(
                    "hub.on(): a function is given beside patterns; write hub.attach(function, pattern=[...]), or"
                    " @hub.on(...) above it"
                )
        if not patterns:
            return "*"
        return pattern_of(ON, patterns[0] if len(patterns) == 1 else patterns)

    # -- detaching --

    async def detach(self, which: object, pattern: object) -> int:
        if (which is None) is (pattern is None):
            raise ConfigurationError(
                "hub.detach(): give what to detach (an attachment, a name, or a listener) or pattern=..., one of them"
            )
        leaving = self._within(pattern) if which is None else self._found(which)
        self._lifecycle.check_here()
        for each in leaving:
            each.begin_to_detach()
        if not self._fanout.is_calling():  # a listener that waited for another might be waited for by it
            for each in leaving:
                await each.finished()
        return len(leaving)

    def _found(self, which: object) -> list[Attachment]:
        """Return what an attachment, a name or a listener means; more than one for a listener attached repeatedly."""
        attachments = self._fanout.attachments
        if is_a(which, Attachment):
            if not which.is_on(self._fanout):  # type: ignore[attr-defined]
                raise ConfigurationError(f"hub.detach(): {which.name!r} is attached to another hub")  # type: ignore[attr-defined]
            return [each for each in attachments if each is which]
        if is_a(which, str):
            name = DETACH.text("which", which)
            found = [each for each in attachments if each.name == name]
        else:
            found = [each for each in attachments if _is_same(each.listener, which)]
        if found:
            return found
        if is_a(which, str):
            near = nearest(which, [each.name for each in attachments])
            raise NotFound(f"hub.detach(): no listener named {shown(which)} is attached{f'; {near}' if near else ''}")
        raise NotFound(f"hub.detach(): {shown(which)} is not attached; hub.attachments are those that are")

    def _within(self, pattern: object) -> list[Attachment]:
        """Return the functions that see nothing but what a pattern matches.

        A pattern lies within another one if that matches it as text, ``*`` matching ``*``.
        """
        outer = Patterns(pattern_of(DETACH, pattern))
        return [each for each in self._fanout.attachments if each.is_function and all(map(outer.matches, each.pattern))]


def _is_function(value: object) -> bool:
    return callable(value) and not is_a(value, str)


def _is_same(one: object, other: object) -> bool:
    """Tell whether these are one listener; a method is another object each time it is looked up. Calls no ``==``."""
    if type(one) is MethodType and type(other) is MethodType:
        return one.__func__ is other.__func__ and one.__self__ is other.__self__
    return one is other
