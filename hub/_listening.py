"""Listening: how listeners are attached to a hub, found and detached; :class:`~hubwire.Hub` says what each promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ._arguments import ATTACH, DETACH, ON, check_settings, filters_of, options_of, pattern_of
from ._delivery.adapted import is_same
from ._delivery.attachment import Attachment
from ._foreign.arguments import is_a, nearest, shown
from ._parts import Parts
from .errors import ConfigurationError, NotFound
from .patterns import Patterns

if TYPE_CHECKING:
    from .functions import Ranked  # imported with the first function that has a priority

__all__ = ("Listening",)

F = TypeVar("F", bound=Callable[..., Any])


class Listening:
    """What the methods of the same names of a hub do."""

    def __init__(self, parts: Parts, hub: Any) -> None:
        self._core = parts.core
        self._fanout = parts.fanout
        self._lifecycle = parts.lifecycle
        self._hub = hub
        self._ranked: Ranked | None = None
        """The functions that have a priority; None before there is one."""

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        return tuple(self._fanout.attachments)

    def attach(self, listener: Any, about: Mapping[str, Any], *, in_loop: object, **settings: Any) -> Attachment:
        filters = filters_of(self._core, ATTACH, about)
        options = options_of(in_loop=in_loop, filters=filters, **settings)
        return self._fanout.attach(listener, options, self._hub, in_loop=in_loop is True)

    # -- functions --

    def on(self, patterns: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        check_settings(settings)
        filters_of(self._core, ON, settings)
        if len(patterns) == 1 and _is_function(patterns[0]):
            self._listen(patterns[0], settings)
            return patterns[0]
        settings["pattern"] = self._pattern_of(patterns, settings)

        def decorate(function: F) -> F:
            self._listen(function, settings)
            return function

        return decorate

    def _listen(self, function: Any, settings: dict[str, Any]) -> None:
        if "priority" not in settings:
            self._hub.attach(function, **settings)
            return
        if self._ranked is None:
            from .functions import Ranked  # noqa: PLC0415 - few programs give a priority

            self._ranked = Ranked(self._hub.attach)
        self._ranked.add(function, settings)

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
        outer = None if pattern is None else Patterns(pattern_of(DETACH, pattern))
        ranked = self._ranked.found(which, outer) if self._ranked is not None else ()
        leaving = self._found(which, is_more=bool(ranked)) if outer is None else self._within(outer)
        self._lifecycle.check_here()
        for each in leaving:
            each.begin_to_detach()
        emptied = self._ranked.remove(ranked) if self._ranked is not None and ranked else None
        if not self._fanout.is_calling():  # a listener that waited for another might be waited for by it
            for each in leaving:
                await each.finished()
            if self._ranked is not None:
                await self._ranked.until_idle(ranked)
            if emptied is not None:
                await emptied.finished()
        return len(leaving) + len(ranked)

    def _found(self, which: object, *, is_more: bool) -> list[Attachment]:
        """Return what an attachment, a name or a listener means; more than one for a listener attached repeatedly.

        ``is_more``: a function with a priority is meant already, so there need be none.
        """
        attachments = self._fanout.attachments
        if is_a(which, Attachment):
            if not which.is_on(self._fanout):  # type: ignore[attr-defined]
                raise ConfigurationError(f"hub.detach(): {which.name!r} is attached to another hub")  # type: ignore[attr-defined]
            return [each for each in attachments if each is which]
        if is_a(which, str):
            name = DETACH.text("which", which)
            found = [each for each in attachments if each.name == name]
        else:
            found = [each for each in attachments if is_same(each.listener, which)]
        if found or is_more:
            return found
        if is_a(which, str):
            near = nearest(which, [each.name for each in attachments])
            raise NotFound(f"hub.detach(): no listener named {shown(which)} is attached{f'; {near}' if near else ''}")
        raise NotFound(f"hub.detach(): {shown(which)} is not attached; hub.attachments are those that are")

    def _within(self, outer: Patterns) -> list[Attachment]:
        """Return the functions that see nothing but what a pattern matches.

        A pattern lies within another one if that matches it as text, ``*`` matching ``*``.
        """
        chain = None if self._ranked is None else self._ranked.attachment  # its functions are detached one by one
        functions = [each for each in self._fanout.attachments if each.is_function and each is not chain]
        return [each for each in functions if all(map(outer.matches, each.pattern))]


def _is_function(value: object) -> bool:
    return callable(value) and not is_a(value, str)
