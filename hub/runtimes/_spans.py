"""What a runtime has begun and not ended, and the events that its steps are.

Pure and synchronous: entries go in, in the order in which they came, and events come out. Runtimes do not close what
they open: a cancelled run ends before its tools do, and some ends never come. So an end waits a while for what belongs
to it, and what has not ended then is abandoned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from ..context import EMPTY
from ..events import (
    AgentSwitched,
    ErrorRaised,
    Event,
    GenericEvent,
    ModelAbandoned,
    ModelCalled,
    ModelCompleted,
    ModelFailed,
    ModelProgressed,
    Severity,
    ToolAbandoned,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnAbandoned,
    TurnEnded,
    TurnFailed,
    TurnStarted,
    evolve,
)
from ._queue import Entry
from ._span import LATE_NS, Place, Span, count, header_of, header_outside, moment, shown_above, unique, whole
from ._tidy import Tidy

__all__ = ("END_WAITS_SECONDS", "OLD_SECONDS", "Spans")

END_WAITS_SECONDS: Final = 5.0
"""How long the end of something waits for the ends of what belongs to it."""

OLD_SECONDS: Final = 600.0
"""What has begun so long ago may be abandoned to make room."""

_SEEN_MAX: Final = 20_000
"""How many keys that have ended are remembered: a runtime that replays a run says them again."""

_DROPPED = "its runtime dropped it"

_CANCELLED = frozenset({"CancelledError", "KeyboardInterrupt", "GeneratorExit"})

Step = tuple[Event, Span | None]
"""An event; and of a beginning, what has begun with it."""


class Spans:
    """Holds what is open, and makes events of entries."""

    def __init__(
        self,
        source: str,
        session: str | None,
        tidy: Tidy,
        on_gone: Callable[[str], None],
    ) -> None:
        """``tidy`` redacts and cuts what was captured.

        ``on_gone`` is told the key of what was abandoned.
        """
        self._source = source
        self._session = session
        self._tidy = tidy.value
        self._tidy_end = tidy.end
        self._tidy_fields = tidy.fields
        self._on_gone = on_gone
        self._open: dict[str, Span] = {}
        self._waiting: dict[str, Span] = {}
        """Those whose end waits, the longest first."""
        self._held: dict[str, Span] = {}
        """Those that are held back for a while, and no longer."""
        self._seen: dict[str, None] = {}
        self.replays: int = 0
        """How many beginnings were left out because they were there already."""

    def __len__(self) -> int:
        return len(self._open)

    def find(self, key: str | None) -> Span | None:
        return None if key is None else self._open.get(key)

    def agent_of(self, entry: Entry, default: str) -> str:
        """Return the name of the agent that an entry is about."""
        if given := entry.fields.get("agent"):
            return str(given)
        span = self._open.get(entry.key) or self.find(entry.parent)
        return default if span is None else span.agent

    def fold(self, entry: Entry, agent: str, agent_id: str | None) -> Iterator[Step]:
        """Yield the events that an entry is, in order."""
        step = entry.step
        if step in ("turn", "model", "tool"):
            yield from self._begin(entry, agent, agent_id)
        elif step in ("end", "fail", "discard", "release"):
            span = self._open.get(entry.key)
            if span is None:
                return
            if step == "release":
                yield from self._released(span)
            elif step == "discard":
                reason = self._tidy(entry.fields.get("reason"))
                yield from self._discarded(span, reason if type(reason) is str and reason else _DROPPED)
            elif span.inner:
                span.ending = entry
                self._waiting[span.key] = span
            else:
                yield from self._ended(span, entry)
        else:
            yield from self._said(entry, agent, agent_id)

    # -- beginnings --

    def _begin(self, entry: Entry, agent: str, agent_id: str | None) -> Iterator[Step]:
        if entry.key in self._seen or entry.key in self._open:
            self.replays += 1
            self._on_gone(entry.key)
            return
        self._seen[entry.key] = None
        if len(self._seen) > _SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        parent = self.find(entry.parent)
        if parent is not None:  # what is held back has begun all the same; what that is in, it has released itself
            yield from self._released(parent)
        place = self._place(entry, parent)
        fields = entry.fields
        wanted = entry.key if entry.step == "turn" else str(fields.get("call_id") or entry.key)
        span = Span(
            family=entry.step,
            key=entry.key,
            id=unique(place, wanted, entry.step),
            name=str(fields.get("name") or ""),
            agent=agent,
            agent_id=agent_id,
            parent=parent,
            place=place,
            begun=entry,
        )
        self._open[entry.key] = span
        if parent is not None:
            parent.inner[entry.key] = span
        event = self._beginning(span, entry)
        if fields.get("is_held"):
            span.held = event
            if fields.get("held_seconds") is not None:
                self._held[span.key] = span
        else:
            yield event, span

    def _place(self, entry: Entry, parent: Span | None) -> Place:
        session = entry.fields.get("session")
        if parent is None:
            return Place(
                entry.key, session or self._session, entry.context or EMPTY, entry.fields.get("correlation") or None
            )
        if session and session != parent.place.session:
            return attrs.evolve(parent.place, session=session)
        return parent.place

    def _beginning(self, span: Span, entry: Entry) -> Event:
        fields, header = entry.fields, header_of(span, entry, self._source)
        if span.family == "turn":
            return TurnStarted(prompt=self._tidy(fields.get("prompt")), **header)
        if span.family == "model":
            return ModelCalled(model=span.name, call_id=span.id, request=self._tidy(fields.get("request")), **header)
        if (turn := span.turn) is not None:
            turn.totals["tool_calls"] = turn.totals.get("tool_calls", 0) + 1
        return ToolCalled(tool=span.name, call_id=span.id, arguments=self._tidy(fields.get("arguments")), **header)

    def _released(self, span: Span) -> Iterator[Step]:
        if span.held is not None:
            event, span.held = span.held, None
            self._held.pop(span.key, None)
            above = shown_above(span)
            yield evolve(event, causation_id=above or event.causation_id), span

    # -- ends --

    def _ended(self, span: Span, entry: Entry) -> Iterator[Step]:
        yield from self._released(span)
        yield self._end(span, entry), None
        yield from self._gone(span)

    def _gone(self, span: Span) -> Iterator[Step]:
        """Forget what has ended, and end what has waited for it alone."""
        while True:
            del self._open[span.key]
            self._waiting.pop(span.key, None)
            self._held.pop(span.key, None)
            above = span.parent
            if above is None:
                return
            above.inner.pop(span.key, None)
            for name, number in span.totals.items():
                if name != "tool_calls" or span.family != "turn":
                    above.totals[name] = above.totals.get(name, 0) + number
            if above.ending is None or above.inner:
                return
            yield from self._released(above)
            yield self._end(above, above.ending), None
            span = above

    def _end(self, span: Span, entry: Entry) -> Event:
        fields = entry.fields
        if time.monotonic_ns() - entry.tick_ns > LATE_NS:  # it was held back, and has to say when it was
            entry.is_late = True
        header = header_of(span, entry, self._source)
        duration = round(max(entry.tick_ns - span.begun.tick_ns, 0) / 1e6, 3)
        count(span.totals, fields)
        if entry.step == "fail":
            failed: dict[str, Any] = {
                "error_type": fields["error_type"],
                "error_message": self._tidy(fields["error_message"]),
                "duration_ms": duration,
            }
            if failed["error_type"] in _CANCELLED:
                header["severity"] = Severity.WARNING  # it was stopped, and did not fail by itself
            if span.family == "turn":
                return TurnFailed(**failed, **header)
            if span.family == "model":
                return ModelFailed(model=span.name, call_id=span.id, **failed, **header)
            return ToolFailed(tool=span.name, call_id=span.id, **failed, **header)
        result = self._tidy(fields.get("result"))
        if extra := fields.get("extra"):
            header["metadata"] = {**self._tidy_fields(extra), **header["metadata"]}
        if span.family == "turn":
            calls = int(span.totals.pop("tool_calls", 0))
            if span.totals:
                header["metadata"] = {**header["metadata"], **span.totals}
            return TurnEnded(content=result, tool_calls=calls, duration_ms=duration, **header)
        if span.family == "tool":
            return ToolCompleted(tool=span.name, call_id=span.id, result=result, duration_ms=duration, **header)
        return ModelCompleted(
            model=span.name or str(fields.get("name") or ""),
            call_id=span.id,
            response=result,
            input_tokens=whole(span.totals.get("input_tokens")),
            output_tokens=whole(span.totals.get("output_tokens")),
            cost_usd=span.totals.get("cost_usd"),
            duration_ms=duration,
            **header,
        )

    def _discarded(self, span: Span, reason: str) -> Iterator[Step]:
        if span.held is not None:
            if span.family == "tool" and (turn := span.turn) is not None:
                turn.totals["tool_calls"] -= 1
            for inner in list(span.inner.values()):
                inner.parent = span.parent
                if span.parent is not None:
                    span.parent.inner[inner.key] = inner
            span.inner.clear()
            yield from self._gone(span)
        else:
            yield from self._abandon(span, reason)

    # -- what never ends --

    def due(self, tick_ns: int) -> Iterator[Step]:
        """Release what was held back long enough; end what has waited long enough for what belongs to it."""
        for span in list(self._held.values()):
            if tick_ns - span.begun.tick_ns >= span.begun.fields["held_seconds"] * 1e9:
                yield from self._released(span)
        for span in list(self._waiting.values()):
            if span.ending is None or tick_ns - span.ending.tick_ns < END_WAITS_SECONDS * 1e9:
                continue
            for inner in list(span.inner.values()):
                reason = f"its end had not come {END_WAITS_SECONDS:g} s after that of what it belongs to"
                yield from self._abandon(inner, reason)

    @property
    def is_waiting(self) -> bool:
        """Whether there is what waits for a time."""
        return bool(self._waiting or self._held)

    def abandon_old(self, tick_ns: int) -> Iterator[Step]:
        """Abandon the oldest that is open, if it is open for long: for its end there is no room any more."""
        oldest = next(iter(self._open.values()), None)
        if oldest is not None and tick_ns - oldest.begun.tick_ns > OLD_SECONDS * 1e9:
            yield from self._abandon(oldest, "its end has not come, and too many others have begun")

    def abandon_all(self, reason: str) -> Iterator[Step]:
        """Abandon all that is open, the innermost first."""
        while self._open:
            yield from self._abandon(next(iter(self._open.values())), reason)

    def _abandon(self, span: Span, reason: str) -> Iterator[Step]:
        for each in _innermost_first(span):
            if self._open.get(each.key) is not each:
                continue  # its end had come, and waited for the last of these
            self._on_gone(each.key)
            if each.ending is not None:
                yield from self._ended(each, each.ending)
                continue
            yield from self._released(each)
            yield self._abandoned(each, reason), None
            yield from self._gone(each)

    def _abandoned(self, span: Span, reason: str) -> Event:
        said: dict[str, Any] = {"reason": reason, "started_at": moment(span.begun.wall_ns)}
        header = header_of(span, span.begun, self._source)
        header["occurred_at"] = None
        if span.family == "turn":
            return TurnAbandoned(**said, **header)
        if span.family == "model":
            return ModelAbandoned(model=span.name, call_id=span.id, **said, **header)
        return ToolAbandoned(tool=span.name, call_id=span.id, **said, **header)

    # -- what has no end --

    def _said(self, entry: Entry, agent: str, agent_id: str | None) -> Iterator[Step]:
        span, fields = self._open.get(entry.key) or self.find(entry.parent), entry.fields
        if entry.step == "usage":
            if span is not None:
                count(span.totals, fields)
            return
        header = self.header(span, entry, agent_id)
        if entry.step == "progress":
            if span is not None:
                yield (
                    ModelProgressed(
                        model=span.name,
                        call_id=span.id,
                        pieces=fields["pieces"],
                        characters=fields["characters"],
                        text=self._tidy_end(fields.get("text", "")),
                        **header,
                    ),
                    None,
                )
        elif entry.step == "fact":
            yield GenericEvent(kind=fields["kind"], data=self._tidy_fields(fields["data"]), **header), None
        elif entry.step == "hand_over":
            reason = self._tidy(fields.get("reason")) or ""
            yield AgentSwitched(from_agent=agent, to_agent=fields["to"], reason=reason, **header), None
        elif entry.step == "error":
            yield (
                ErrorRaised(
                    error_type=fields["error_type"],
                    error_message=self._tidy(fields["error_message"]),
                    error_context=self._tidy(fields.get("where")),
                    **header,
                ),
                None,
            )

    def place_of(self, entry: Entry) -> dict[str, Any]:
        """Return what :func:`hubwire.scope` takes to be where an entry belongs."""
        header = self.header(self._open.get(entry.key) or self.find(entry.parent), entry, None)
        names = {"correlation_id": "correlation_id", "traceparent": "traceparent", "session_id": "session"}
        names |= {"turn_id": "turn", "channel_id": "channel", "task_id": "task"}
        return {names[name]: value for name, value in header.items() if name in names and value is not None}

    def header(self, span: Span | None, entry: Entry, agent_id: str | None) -> dict[str, Any]:
        """Return the header of an event about what is in ``span``, or about no run."""
        if span is not None:
            return header_of(span, entry, self._source, agent_id)
        return header_outside(entry, self._source, self._session, agent_id)


def _innermost_first(span: Span) -> list[Span]:
    """Return all that is in a span and has not ended, and the span itself: each after what is in it."""
    found, to_look = [], [span]
    while to_look:
        each = to_look.pop()
        found.append(each)
        to_look += each.inner.values()
    found.reverse()
    return found
