"""Functions that listen as one: :class:`Chain` calls them one after the other, those of high priority first.

A function alone needs no class: ``hub.attach(function)``, or ``@hub.on(...)`` above it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakSet

from ._delivery.adapted import Adapted, is_same
from ._delivery.attachment import Attachment
from ._delivery.chained import Chained, Link
from ._delivery.forms import Composed
from ._delivery.matcher import FILTERS, Filters
from ._foreign.arguments import Call, is_a, shown
from .errors import ConfigurationError, NotFound
from .events import Event
from .patterns import Patterns

__all__ = ("PRIORITY", "Chain")

PRIORITY = 100
"""The priority of a function that is given none."""

_ATTACH = "hub.attach(Chain(...), duty=...)"
_OF_FUNCTIONS = frozenset({"priority", "pattern", "timeout", "in_loop", "name"})

_ON = Call("hub.on()", ConfigurationError)
_CHAIN = Call("Chain()", ConfigurationError)
_ADD = Call("chain.add()", ConfigurationError)
_REMOVE = Call("chain.remove()", ConfigurationError)

_PRIORITY_MAX = 2**31
_NAME_CHARS_MAX = 200


class Chain(Composed):
    """Several functions, sync or async, that are one listener: ``hub.attach(Chain(check, store, tell))``.

    For each event they are called one after the other, the highest priority first, those of equal priority in the order
    in which they were added. Each has its own time, and one that fails does not keep the others from being called: it
    is reported by ``listener.failed`` under its own name.

    Attached as BEST_EFFORT, a failure is the function's own: after more than three in five seconds it is called no
    more, reported by ``listener.detached`` and in the hub's health, and the chain goes on without it. Attached as
    DURABLE, those that have failed get the event again with the retries of the duty, and no others; the position stays
    at the event until all of them have handled it. Attached as REQUIRED, all are called, and then the hub stops.

    What one of them gives up is a dead letter of the chain, which names the function; a retry gives the event to all of
    them again.

    Its functions may change at any time, also while they are called. One chain may be attached to several hubs.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no function.
    """

    def __init__(self, *functions: Callable[[Event], object]) -> None:
        self._links: tuple[Link, ...] = ()
        self._forms: WeakSet[Chained] = WeakSet()
        for function in functions:
            self._add(_CHAIN, function)

    @property
    def functions(self) -> Sequence[Callable[[Event], object]]:
        """The functions, in the order of their calls."""
        return tuple(link.function for link in self._links)

    @property
    def names(self) -> Sequence[str]:
        """Their names, under which failures are reported, in the same order."""
        return tuple(link.name for link in self._links)

    def add(
        self,
        function: Callable[[Event], object],
        *,
        priority: int = PRIORITY,
        pattern: str | Iterable[str] = "*",
        timeout: float | None = None,
        in_loop: bool = False,
        name: str | None = None,
    ) -> None:
        """Add a function; where the chain is attached, it sees what is emitted from now on.

        ``priority``: those with a higher number are called first. ``pattern``: the kinds it sees, of those that the
        chain sees. ``timeout``: seconds it may take per event, by default what the chain is attached with. ``in_loop``:
        a sync function that is quick, to be called on the event loop and not in a thread of its own. ``name``: unique
        in the chain, by default that of the function. A function may be added more than once.

        Raises :class:`~hubwire.errors.ConfigurationError` for an argument that is not of its form, with the chain
        unchanged.
        """
        self._add(_ADD, function, priority, pattern, timeout, in_loop, name)

    def remove(self, which: Callable[[Event], object] | str) -> int:
        """Remove a function, as often as it was added, or the one of a name; return how many were removed.

        It is not called for the event either that is on its way through the chain. Raises
        :class:`~hubwire.errors.NotFound` if there is none.
        """
        if is_a(which, str):
            name = _REMOVE.text("which", which)
            found = [link for link in self._links if link.name == name]
        else:
            found = [link for link in self._links if is_same(link.function, which)]
        if not found:
            raise NotFound(f"{_REMOVE.name}: {shown(which)} is not in the chain; chain.names are those that are")
        self._remove(found)
        return len(found)

    def composed(self) -> Chained:
        """For the hub: return what calls the functions, for one attachment."""
        form = Chained(lambda: self._links)
        self._forms.add(form)
        return form

    # -- for hub.on() and hub.detach() --

    def _add(
        self,
        call: Call,
        function: Any,
        priority: object = PRIORITY,
        pattern: Any = "*",
        timeout: object = None,
        in_loop: object = False,  # noqa: FBT002 - it is checked here
        name: object = None,
        filters: Filters | None = None,
    ) -> None:
        is_quick = call.flag("in_loop", in_loop)
        adapted = Adapted(function, in_loop=is_quick)
        if not adapted.form.is_divisible:
            raise call.refusal("function", function, "a function", "an object is attached by hub.attach()")
        link = Link(
            function,
            name=self._name(call, name, adapted.name),
            priority=call.whole("priority", priority, least=-_PRIORITY_MAX, most=_PRIORITY_MAX),
            kinds=Patterns(pattern),
            timeout=call.seconds("timeout", timeout, is_optional=True),
            in_loop=is_quick,
            filters=filters,
        )
        place = next((n for n, each in enumerate(self._links) if each.priority < link.priority), len(self._links))
        self._links = (*self._links[:place], link, *self._links[place:])
        for form in tuple(self._forms):
            form.joined(link)

    def _name(self, call: Call, name: object, stem: str) -> str:
        taken = {link.name for link in self._links}
        if name is None:
            numbered = (f"{stem}-{number}" if number > 1 else stem for number in range(1, len(taken) + 2))
            return next(each for each in numbered if each not in taken)
        text = call.text("name", name, is_empty_ok=False)
        if len(text) > _NAME_CHARS_MAX or text in taken:
            wanted = (
                f"a text of at most {_NAME_CHARS_MAX} characters that no other function of the chain has as its name"
            )
            raise call.refusal("name", text, wanted)
        return text

    def _remove(self, links: Sequence[Link]) -> None:
        for link in links:
            link.is_removed = True
        self._links = tuple(link for link in self._links if not link.is_removed)
        for form in tuple(self._forms):
            for link in links:
                form.left(link)

    async def _until_idle(self, links: Sequence[Link]) -> None:
        """Return when none of these functions is being called."""
        for form in tuple(self._forms):
            for link in links:
                await form.until_idle(link)


class Ranked:
    """The functions of one hub that have a priority, which are one chain."""

    def __init__(self, attach: Callable[[Chain], Attachment]) -> None:
        self._attach = attach
        self._chain = Chain()
        self.attachment: Attachment | None = None
        """That of the chain; None while no function has a priority."""

    def add(self, function: Any, settings: Mapping[str, Any], filters: Filters | None) -> None:
        """Add a function, with the settings of :meth:`hubwire.Hub.on`; ``filters`` are what some of them have made."""
        settings = {name: value for name, value in settings.items() if name not in FILTERS}
        if others := sorted(set(settings) - _OF_FUNCTIONS):
            raise ConfigurationError(
                f"{_ON.name}: functions with a priority are one listener, which {', '.join(others)} would be about:"
                f" omit that, or write {_ATTACH}"
            )
        if self.attachment is not None and not self.attachment.is_leaving:
            self._chain._add(_ON, function, **settings, filters=filters)  # noqa: SLF001 - the errors name the call that was made
            return
        chain = Chain()
        chain._add(_ON, function, **settings, filters=filters)  # noqa: SLF001
        self.attachment, self._chain = self._attach(chain), chain

    def found(self, which: object, outer: Patterns | None) -> Sequence[Link]:
        """Return those that a name or a function means, or that see nothing but what ``outer`` matches."""
        if self.attachment is None or self.attachment.is_leaving:
            return ()
        links = self._chain._links  # noqa: SLF001
        if outer is not None:
            return [each for each in links if all(map(outer.matches, each.kinds.patterns))]
        if is_a(which, str):
            name = str.__str__(which)
            return [each for each in links if each.name == name]
        return [each for each in links if is_same(each.function, which)]

    def remove(self, links: Sequence[Link]) -> Attachment | None:
        """Call these no more; return the attachment that ends because there are no others."""
        self._chain._remove(links)  # noqa: SLF001
        attachment = self.attachment
        if self._chain.functions or attachment is None:
            return None
        self.attachment = None
        attachment.begin_to_detach()
        return attachment

    async def until_idle(self, links: Sequence[Link]) -> None:
        """Return when none of these is being called."""
        await self._chain._until_idle(links)  # noqa: SLF001
