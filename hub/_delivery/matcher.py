"""A matcher: which of the events a reader gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from ..events import Event
from ..patterns import Patterns

__all__ = ("ALL", "Matcher")

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
        self._known: dict[str, bool | None] = {}

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


ALL = Matcher("*")
"""For readers that take all events: it remembers no kinds, so all share it."""
