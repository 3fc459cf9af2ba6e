"""Chained: functions that listen as one, each with its own time, its own failures and its own name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs

from .._commit.backoff import FailureWindow
from .._foreign.guards import text_of
from ..events import Event, ListenerDetached
from ..patterns import Patterns
from .adapted import Adapted
from .duties import RESTART_WINDOW_SECONDS, RESTARTS_MAX
from .duty import Duty
from .forms import Surroundings
from .functions import OnLoop
from .handling import Failure, Handler
from .matcher import FilteredMatcher, Filters
from .reports import Reports, is_announced

__all__ = ("Chained", "Link")


class Link:
    """One function of a chain."""

    __slots__ = ("filters", "function", "in_loop", "is_removed", "kinds", "name", "priority", "timeout")

    def __init__(
        self,
        function: Callable[[Event], object],
        *,
        name: str,
        priority: int,
        kinds: Patterns,
        timeout: float | None,
        in_loop: bool,
        filters: Filters | None = None,
    ) -> None:
        """``timeout``: None for that of the listener."""
        self.function: Callable[[Event], object] = function
        self.name: str = name
        self.priority: int = priority
        self.kinds: Patterns = kinds
        self.timeout: float | None = timeout
        self.in_loop: bool = in_loop
        self.filters: Filters | None = filters
        self.is_removed: bool = False
        """Whether it is to be called no more, also where an event is on its way through the chain."""


class _Member:
    """One function of a chain on one hub: what it is called through, and what is counted of it."""

    def __init__(self, link: Link, surroundings: Surroundings, begins_at: int) -> None:
        reports = Reports(link.name, surroundings.announcements)
        adapted = Adapted(link.function, in_loop=link.in_loop)
        adapted.connect(attrs.evolve(surroundings, reports=reports, is_once=False))
        timeout = surroundings.timeout if link.timeout is None else link.timeout
        self.handler: Handler = Handler(adapted, timeout, surroundings.clock, reports, surroundings.held)
        self.reports: Reports = reports
        self.begins_at: int = begins_at
        """The ``seq`` at which it joined: earlier events are not its own."""
        self.failures: FailureWindow = FailureWindow(RESTARTS_MAX, RESTART_WINDOW_SECONDS)
        self._kinds = link.kinds
        self._filters: FilteredMatcher | None = None if link.filters is None else FilteredMatcher("*", link.filters)
        self._known: dict[str, bool] = {}

    def wants(self, event: Event) -> bool:
        """Return whether the function sees this event."""
        if event.seq < self.begins_at:
            return False
        answer = self._known.get(event.kind)
        if answer is None:
            if len(self._known) > _KINDS_MAX:
                self._known.clear()
            answer = self._known[event.kind] = self._kinds.matches(event.kind)
        return answer and (self._filters is None or bool(self._filters.passing((event,))))


_KINDS_MAX = 10_000
"""How many kinds are remembered: programs have hundreds, but what they import may invent more without an end."""


class Chained(OnLoop):
    """Calls the functions of a chain, for each event in their order.

    Where each event is promised, those that have failed are called with it again, and no others: the chain remembers
    which have handled it. Elsewhere a failure is the function's own, as if it were attached by itself.
    """

    is_divisible = False
    bounds_itself = True
    _surroundings: Surroundings

    def __init__(self, links: Callable[[], tuple[Link, ...]]) -> None:
        """``links`` returns the present functions, in the order of their calls."""
        super().__init__(self._call_all)
        self._links = links
        self._members: dict[Link, _Member] = {}
        self._begins: dict[Link, int] = {}
        """For those that have joined since the chain was attached: at which ``seq``."""
        self._lost: dict[Link, str] = {}
        """Those that are called no more, and why."""
        self._at: _At = _At(-1)
        self._calling: Link | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def connect(self, surroundings: Surroundings) -> None:
        super().connect(surroundings)
        self._surroundings = surroundings

    def joined(self, link: Link) -> None:
        """A function was added: it sees what is emitted from now on."""
        if not hasattr(self, "_surroundings"):
            return
        ring = self._surroundings.pipeline.ring
        if ring.is_numbered:
            self._begins[link] = ring.applied.value

    def left(self, link: Link) -> None:
        """A function was removed: it needs no task and no thread any more."""
        self._lost.pop(link, None)
        self._begins.pop(link, None)
        member = self._members.get(link)
        if member is not None and self._calling is not link:
            member.handler.end()
            if not member.handler.still_running:
                del self._members[link]

    async def until_idle(self, link: Link) -> None:
        """Return when this function is not being called."""
        while self._calling is link:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def problem(self) -> str | None:
        """Return which functions are called no more because they failed; None if there are none."""
        lost = [f"{link.name!r}: {reason}" for link, reason in self._lost.items() if not link.is_removed]
        return f"no longer calls {'; '.join(lost[:3])}: mend the cause and add it again" if lost else None

    # -- for the handler --

    @property
    def still_running(self) -> int:
        return sum(each.handler.still_running for each in self._members.values())

    def is_calling(self) -> bool:
        return any(each.handler.is_calling() for each in self._members.values())

    def cut(self) -> None:
        for each in self._members.values():
            each.handler.cut()

    def end(self) -> None:
        for each in self._members.values():
            each.handler.end()

    # -- calling --

    async def _call_all(self, event: Event) -> None:
        links, at = self._links(), self._at
        if at.seq != event.seq or self.is_retry:
            at = self._at = _At(event.seq)
            if len(self._members) > len(links):
                self._forget_removed(links)
        errors: list[Exception] = []
        for link in links:
            if link.is_removed or link in at.handled or link in self._lost:
                continue
            member = self._member_of(link)
            if not member.wants(event):
                continue
            failure = await self._call(link, member, event)
            if failure is None or self._is_borne(link, member, event, failure):
                at.handled.add(link)
            else:
                errors.append(failure.error)
        if errors:
            raise errors[0]

    async def _call(self, link: Link, member: _Member, event: Event) -> Failure | None:
        self._calling = link
        try:
            return await member.handler.call((event,))
        finally:
            self._calling = None
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _member_of(self, link: Link) -> _Member:
        member = self._members.get(link)
        if member is None:
            begins_at = self._begins.pop(link, 0)
            member = self._members[link] = _Member(link, self._surroundings, begins_at)
        return member

    def _is_borne(self, link: Link, member: _Member, event: Event, failure: Failure) -> bool:
        """Report that a function has failed; return whether the event counts as handled by it all the same."""
        error, at = failure.error, self._at
        is_borne = self._surroundings.duty is Duty.BEST_EFFORT and not self.is_retry
        announce = is_announced(event) and link not in at.failed
        member.reports.failed(error, event.seq, announce=announce, is_given_up=is_borne)
        at.failed.add(link)
        if not is_borne:
            if failure.is_final and not member.handler.still_running:
                member.handler.end()
                del self._members[link]  # its call has ended meanwhile: it can be called again
            return False
        self._reports.failed_in_part(error)
        self._surroundings.letters.put(event, error, link.name)
        if failure.is_final:
            self._lose(link, f"it cannot be called again: {text_of(error)}")
        elif member.failures.add(self._surroundings.clock.monotonic()) is None:
            often = f"more than {RESTARTS_MAX} times in {RESTART_WINDOW_SECONDS:g} seconds"
            self._lose(link, f"failed {often}, last with {text_of(error)}")
        return True

    def _lose(self, link: Link, reason: str) -> None:
        """Call a function no more, which is not worth the time of the others."""
        self._lost[link] = reason
        self._members[link].handler.end()
        self._surroundings.announcements.put(ListenerDetached(listener=link.name, reason=reason))

    def _forget_removed(self, links: tuple[Link, ...]) -> None:
        """Forget those that were removed while they were called."""
        for link in set(self._members).difference(links):
            self.left(link)


class _At:
    """How far one event has come through a chain."""

    __slots__ = ("failed", "handled", "seq")

    def __init__(self, seq: float) -> None:
        self.seq = seq
        self.handled: set[Link] = set()
        self.failed: set[Link] = set()
