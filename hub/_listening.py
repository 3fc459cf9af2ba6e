"""Listening: how listeners are attached to a hub, found and detached; :class:`~hubwire.Hub` says what each promises."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ._arguments import ATTACH, DETACH, ON, check_settings, filters_of, options_of, pattern_of
from ._commands import Core
from ._delivery.adapted import is_same
from ._delivery.attachment import Attachment
from ._delivery.matcher import Filters
from ._delivery.tenant_names import prefix_of
from ._foreign.arguments import is_a, nearest, shown
from ._parts import Parts
from .errors import ConfigurationError, NotFound
from .patterns import Patterns

if TYPE_CHECKING:
    from .functions import Ranked  # imported with the first function that has a priority

__all__ = ("Listening",)

F = TypeVar("F", bound=Callable[..., Any])

_NOT_FOR_TENANTS = ("tenant", "overflow")
"""The settings of a function that its tenant does not choose: whose events it sees, and whether emitters wait."""


class Listening:
    """What the methods of the same names of a hub do."""

    def __init__(self, parts: Parts, hub: Any) -> None:
        self._core = parts.core
        self._fanout = parts.fanout
        self._lifecycle = parts.lifecycle
        self._hub = hub
        self._tenant: str | None = None
        self._prefix = ""
        self._ranked_of: dict[str | None, Ranked] = {}
        """The functions that have a priority, of the program itself and of each tenant that has some."""

    def through(self, core: Core, hub: Any, tenant: str) -> Listening:
        """Return the same as a tenant has it, by its own ``core`` and ``hub``."""
        face = copy.copy(self)
        face._core, face._hub, face._tenant, face._prefix = core, hub, tenant, prefix_of(tenant)  # noqa: SLF001
        return face

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        if self._tenant is None:
            return tuple(self._fanout.attachments)
        return tuple([each for each in self._fanout.attachments if each.tenant == self._tenant])

    @property
    def _ranked(self) -> Ranked | None:
        return self._ranked_of.get(self._tenant)

    def name_of(self, name: str) -> str:
        """Return a name in full, as a tenant may leave out what its names begin with."""
        return name if name.startswith(self._prefix) else f"{self._prefix}{name}"

    def attach(self, listener: Any, about: Mapping[str, Any], *, in_loop: object, **settings: Any) -> Attachment:
        filters = filters_of(self._core, ATTACH, about)
        options = options_of(in_loop=in_loop, filters=filters, **settings)
        return self._fanout.attach(listener, options, self._hub, in_loop=in_loop is True)

    # -- functions --

    def on(self, patterns: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        check_settings(settings, () if self._tenant is None else _NOT_FOR_TENANTS)
        filters = filters_of(self._core, ON, settings)
        if len(patterns) == 1 and _is_function(patterns[0]):
            self._listen(patterns[0], settings, filters)
            return patterns[0]
        settings["pattern"] = self._pattern_of(patterns, settings)

        def decorate(function: F) -> F:
            self._listen(function, settings, filters)
            return function

        return decorate

    def _listen(self, function: Any, settings: dict[str, Any], filters: Filters | None) -> None:
        if "priority" not in settings:
            self._hub.attach(function, **settings)
            return
        ranked = self._ranked
        if ranked is None:
            from .functions import Ranked  # noqa: PLC0415 - few programs give a priority

            ranked = Ranked(self._hub.attach)
        ranked.add(function, settings, filters)
        self._ranked_of[self._tenant] = ranked

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
        of_chain = self._ranked
        ranked = of_chain.found(which, outer) if of_chain is not None else ()
        leaving = self._found(which, is_more=bool(ranked)) if outer is None else self._within(outer)
        self._lifecycle.check_here()
        for each in leaving:
            each.begin_to_detach()
        emptied = of_chain.remove(ranked) if of_chain is not None and ranked else None
        if emptied is not None:
            self._ranked_of.pop(self._tenant, None)
        if not self._fanout.is_calling():  # a listener that waited for another might be waited for by it
            for each in leaving:
                await each.finished()
            if of_chain is not None:
                await of_chain.until_idle(ranked)
            if emptied is not None:
                await emptied.finished()
        return len(leaving) + len(ranked)

    def _found(self, which: object, *, is_more: bool) -> list[Attachment]:
        """Return what an attachment, a name or a listener means; more than one for a listener attached repeatedly.

        ``is_more``: a function with a priority is meant already, so there need be none.
        """
        attachments = self.attachments
        if is_a(which, Attachment):
            if not which.is_on(self._fanout):  # type: ignore[attr-defined]
                raise ConfigurationError(f"hub.detach(): {which.name!r} is attached to another hub")  # type: ignore[attr-defined]
            return [each for each in attachments if each is which]
        if is_a(which, str):
            name = self.name_of(DETACH.text("which", which))
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
        functions = [each for each in self.attachments if each.is_function and each is not chain]
        return [each for each in functions if all(map(outer.matches, each.pattern))]


def _is_function(value: object) -> bool:
    return callable(value) and not is_a(value, str)
