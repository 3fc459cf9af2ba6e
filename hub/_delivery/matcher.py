"""A matcher: which of the events a reader gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import attrs

from .._values import Value
from ..events import Event
from ..patterns import Patterns

__all__ = ("ALL", "FILTERS", "FilteredMatcher", "Filters", "Matcher", "matcher_of")

FILTERS = ("tenant", "agent", "channel")
"""What the headers of the events may be asked for."""

_KINDS_MAX = 10_000
"""How many kinds are remembered. Programs have hundreds, but what they import may invent kinds without end."""


class Matcher:
    """Selects the events whose kind one of the patterns matches, except those about the attachment named ``about``.

    ``newest_about`` returns the ``seq`` above which no event is about any attachment. Raises what
    :class:`~hubwire.patterns.Patterns` raises.
    """

    def __init__(
        self,
        pattern: str | Iterable[str],
        *,
        about: str | None = None,
        newest_about: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._kinds = Patterns(pattern)
        self._about = about
        self._newest_about = newest_about
        self.patterns: tuple[str, ...] = self._kinds.patterns
        self.takes_all: bool = self._kinds.takes_all
        self.key: tuple[object, ...] = self.patterns
        """Equal for matchers that were made with the same patterns and filters."""
        self._known: dict[str, bool | None] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {list(self.patterns)!r:.200}>"

    def select(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return those of the events, in the order of their ``seq``, that match."""
        # Most listeners take all events, and most batches hold none about a listener.
        if self.takes_all and (self._about is None or not events or events[0].seq > self._newest_about()):
            return events
        known = self._known
        try:
            answers = [known[event.kind] for event in events]
        except KeyError:
            if len(known) > _KINDS_MAX:
                known.clear()
            known.update({kind: self._matches(kind) for kind in {event.kind for event in events} if kind not in known})
            answers = [known[event.kind] for event in events]
        if all(answers):
            return events
        return [
            event
            for event, answer in zip(events, answers, strict=True)
            if answer or (answer is None and getattr(event, "listener", None) != self._about)
        ]

    def _matches(self, kind: str) -> bool | None:
        """Return whether a pattern matches this kind; None if it does, and events of it may be about the attachment."""
        if not self._kinds.matches(kind):
            return False
        return None if self._about is not None and kind.startswith(("listener.", "mailbox.")) else True


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Filters(Value):
    """What the headers of an event must say; None leaves one out."""

    tenant: str | None = None
    agent: str | None = None
    """The id of an agent, or a name."""
    channel: str | None = None
    id_of: Callable[[str], str] = str
    """Returns the id of the agent that has a name; the name itself while none has."""
    is_all_there_is: bool = False
    """Whether the events of the tenant are all that there are for the reader."""

    @property
    def owner(self) -> str | None:
        """The tenant that reads, or has attached the listener; None for the program itself."""
        return self.tenant if self.is_all_there_is else None


class FilteredMatcher(Matcher):
    """Selects, of the events that the patterns match, those whose headers pass the filters.

    A name means the agent that has it when this first looks at events while there is one.
    """

    def __init__(
        self,
        pattern: str | Iterable[str],
        filters: Filters,
        *,
        about: str | None = None,
        newest_about: Callable[[], float] = lambda: math.inf,
    ) -> None:
        super().__init__(pattern, about=about, newest_about=newest_about)
        self._tenant = filters.tenant
        self._agent = filters.agent
        self._channel = filters.channel
        self._id_of: Callable[[str], str] | None = None if filters.agent is None else filters.id_of
        self.key: tuple[object, ...] = (*self.patterns, None, filters.tenant, filters.agent, filters.channel)

    def select(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return those of the events, in the order of their ``seq``, that match and pass."""
        events = self.passing(events)
        return super().select(events) if events else events

    def passing(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return those of the events whose headers pass, of any kind."""
        # The headers first: what a filter is for is to leave most events out.
        if (tenant := self._tenant) is not None:
            events = [event for event in events if event.tenant == tenant]
        if (channel := self._channel) is not None:
            events = [event for event in events if event.channel_id == channel]
        if self._agent is not None:
            agent = self._agent_id(self._agent)
            events = [event for event in events if event.agent_id == agent]
        return events

    def _agent_id(self, given: str) -> str:
        if self._id_of is not None and (agent_id := self._id_of(given)) != given:
            self._agent, self._id_of = agent_id, None
            return agent_id
        return given


def matcher_of(
    pattern: str | Iterable[str],
    filters: Filters | None,
    *,
    about: str | None = None,
    newest_about: Callable[[], float] = lambda: math.inf,
) -> Matcher:
    """Return what selects by patterns, and by filters if there are any."""
    if filters is None:
        return Matcher(pattern, about=about, newest_about=newest_about)
    return FilteredMatcher(pattern, filters, about=about, newest_about=newest_about)


ALL = Matcher("*")
"""For readers that take all events: it remembers no kinds, so all share it."""
