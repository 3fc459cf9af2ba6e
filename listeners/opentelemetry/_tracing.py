"""Tracing: from events to spans. It is pure: the same events give the same spans, whenever and how often they come.

The id of a span is made of the ids that both its events have, and its times are those of the events. A span is in the
trace of its ``traceparent``; else in that of what it is part of, its turn, its task or the turn that sent its envelope;
else in that of its correlation id, of its channel, or one of its own. So each trace is one tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from hubwire import Event

from .._open_calls import Call, OpenCalls, id_of
from . import names
from ._attributes import field, moment_of, of_begin, of_end, text_of
from ._ids import Place, parsed, span_id_of, trace_id_of
from ._kinds import BEGINNINGS, ENDINGS, NOTED, OF_ALL, OPERATIONS, TIES
from ._recent import Recent
from ._span import Begun, Link, Note, SpanData, Status
from ._turns import OpenTurns

__all__ = ("Settings", "Tracing")

_RECENT_MAX = 10_000
_NOTES_MAX = 100
"""How many notes a span has: a loop may have any number of them."""


@attrs.frozen(kw_only=True)
class Settings:
    """How spans are made."""

    ratio: float = 1.0
    """The share of traces that is shown, of those that begin here."""
    content: bool = False
    """Whether arguments, results, prompts and answers are in attributes."""
    open_max: int = 10_000


class Tracing:
    """Makes spans from events, which come in order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: OpenCalls[Begun] = OpenCalls(settings.open_max)
        self._turns = OpenTurns()
        self._places: Recent[tuple[str, str | int], Place] = Recent(_RECENT_MAX)
        """Of turns and tasks, also when they have ended, by their ids; and of the turns that posted, by envelope."""
        self._roots: Recent[int, int] = Recent(_RECENT_MAX)
        """By trace, the span that is its root, where none outside of the hub is."""
        self._channels: Recent[str | int, SpanData | None] = Recent(_RECENT_MAX)
        """Those whose span is still to be shown, before the first of its children, and None for the others."""
        self._used: Recent[int, None] = Recent(_RECENT_MAX)
        """The ids of spans that there were."""
        self._names: Recent[str | int, str] = Recent(_RECENT_MAX)
        self._switched: Recent[str, tuple[Place, str]] = Recent(_RECENT_MAX)
        """By the name of an agent, the turn that handed over to it, and the name of the agent of that."""
        self._made: list[SpanData] = []

    @property
    def open_count(self) -> int:
        """How many spans have begun and not ended."""
        return len(self._open.all())

    @property
    def forgotten(self) -> int:
        """How many were ended because too many were open."""
        return self._open.forgotten

    def place_of_turn(self, turn_id: str) -> Place | None:
        """Return where the span of a turn is; None if it has not begun, or was forgotten."""
        return self._places.get(("turn", id_of(turn_id) or 0))

    def handle(self, events: Iterable[Event]) -> Sequence[SpanData]:
        """Return the spans that have ended with these events, those that are not sampled left out."""
        for event in events:
            self._handle(event)
        made, self._made = self._made, []
        return made

    def learn(self, events: Iterable[Event]) -> None:
        """Take in events whose spans were shown before. Channels are shown again when they get a child."""
        for span in self.handle(events):
            channel = id_of(span.attributes.get(names.CONVERSATION_ID))
            if channel and names.CHANNEL in span.attributes:
                self._channels.put(channel, span)

    def abandon(self, end_ns: int, reason: str, *, is_for_good: bool) -> Sequence[SpanData]:
        """End the turns and calls that are open; where it is for good, all else, too."""
        self._abandon(end_ns, reason, is_for_good=is_for_good)
        made, self._made = self._made, []
        return made

    def _abandon(self, end_ns: int, reason: str, *, is_for_good: bool) -> None:
        for call, begun in tuple(self._open.all().items()):
            if is_for_good or call.what not in OF_ALL:
                self._open.end(call)
                if call.what == "life":  # that ends well with the hub
                    self._end(begun, end_ns, {names.END: "stopped", names.REASON: reason}, "unset", "")
                else:
                    self._end(begun, end_ns, {names.END: "abandoned", names.REASON: reason}, "error", reason)

    # -- events --

    def _handle(self, event: Event) -> None:
        kind = event.kind
        if (what := BEGINNINGS.get(kind)) is not None:
            self._begin(event, what)
        elif (ending := ENDINGS.get(kind)) is not None:
            self._ended(event, *ending)
        elif kind == "agent.registered":
            self._agent_registered(event)
        elif kind == "channel.created":
            self._channel_created(event)
        elif kind == "agent.switched":
            self._agent_switched(event)
        elif kind == "hub.stopped":
            self._abandon(_moment(event), "the hub was stopped", is_for_good=False)
        elif (what := NOTED.get(kind)) is not None:
            self._note(event, what)

    def _begin(self, event: Event, what: str) -> None:
        if (call := _call(event, what)) is None:
            return
        begun = self._begun(event, what, _moment(event), call)
        gone = self._open.begin(call, begun)
        if gone is not None:
            how = "replaced" if gone.place.span_id == begun.place.span_id or gone.what == what else "forgotten"
            self._end(gone, begun.start_ns, {names.END: how}, "error", f"it was {how}: its end has not come")
        if what == "turn":
            self._turns.begin(begun, event)

    def _begun(self, event: Event, what: str, start_ns: int, call: Call) -> Begun:
        span_id = span_id_of(event.hub, what, str(call.turn or ""), str(call.agent or ""), str(call.tie))
        if what == "life" or span_id in self._used:  # ids of calls were used before: its events tell the two apart
            span_id = span_id_of(str(span_id), event.id)
        self._used.put(span_id, None)
        place, parent_id, links = self._place(event, what, span_id)
        if what in ("turn", "task"):
            self._places.put((what, call.tie), place)
        attributes = of_begin(event, content=self._settings.content)
        if operation := OPERATIONS.get(what):
            attributes[names.OPERATION] = operation
        if agent := self._name_of(event.agent_id):
            attributes[names.AGENT_NAME] = agent
        if what == "tool":
            attributes |= {names.TOOL_TYPE: "function", names.TOOL_CALL_ID: str(call.tie)}
        return Begun(
            what=what,
            place=place,
            parent_id=parent_id,
            name=_span_name(event, what, agent),
            start_ns=start_ns,
            attributes=attributes,
            links=links,
            agent_id=id_of(event.agent_id),
            correlation_id=id_of(event.correlation_id),
        )

    def _ended(self, event: Event, what: str, status: Status) -> None:
        if (call := _call(event, what)) is None:
            return
        end_ns = _moment(event)
        took_ns = _duration(event)
        attributes = {names.END: event.kind.rpartition(".")[2], **of_end(event, content=self._settings.content)}
        begun = self._open.end(call)
        if begun is None:
            span_id = span_id_of(event.hub, what, str(call.turn or ""), str(call.agent or ""), str(call.tie))
            if what == "life" or span_id in self._used:
                return  # its end has come before, or the hub did not wait for it any more
            start_ns = moment_of(text_of(event, "started_at"))
            begun = self._begun(event, what, max(0, end_ns - (took_ns or 0)) if start_ns is None else start_ns, call)
            attributes[names.BEGIN_UNKNOWN] = True
        elif took_ns is not None:
            # Of what was recorded afterwards, both events came at the end.
            begun.start_ns = min(begun.start_ns, max(0, end_ns - took_ns))
        if what == "approval":
            attributes[names.APPROVAL_VERDICT] = attributes[names.END]
        message = "" if status == "ok" else text_of(event, "error_message") or text_of(event, "reason")
        self._end(begun, end_ns, attributes, status, message if status == "error" else "")

    def _end(self, begun: Begun, end_ns: int, attributes: Mapping[str, Any], status: Status, message: str) -> None:
        if begun.what == "turn":
            self._turns.end(begun)
        if begun.place.is_sampled:
            self._made.append(begun.ended(end_ns, attributes, status, message))

    # -- agents and channels: spans without a duration, so that they are there before what belongs to them --

    def _agent_registered(self, event: Event) -> None:
        agent_id = id_of(event.agent_id)
        if not event.agent_id or agent_id is None:
            return
        name = text_of(event, "name")
        self._names.put(agent_id, name)
        span_id = span_id_of(event.hub, "agent", event.agent_id)
        if span_id in self._used:
            return
        self._used.put(span_id, None)
        place, parent_id, links = self._place(event, "agent", span_id)
        attributes = of_begin(event, content=False) | {names.OPERATION: "create_agent", names.AGENT_NAME: name}
        passport = field(event, "passport")
        for key, attribute in (("provider", names.PROVIDER), ("model", names.REQUEST_MODEL)):
            if isinstance(passport, Mapping) and isinstance(value := passport.get(key), str) and value:
                attributes[attribute] = value[:200]
        self._at_once(event, place, parent_id, f"create_agent {name}".rstrip(), attributes, links)

    def _channel_created(self, event: Event) -> None:
        if not event.channel_id:
            return
        self._channels.put(id_of(event.channel_id) or 0, None)
        links = []
        if parent := text_of(event, "parent_id"):
            links.append(Link(self._place_of_channel(event.hub, parent), {names.LINK: "channel"}))
        if (outer := parsed(event.traceparent)) is not None:
            links.append(Link(outer, {names.LINK: "cause"}))
        self._show_channel(event, event.channel_id, text_of(event, "topic"), links)

    def _show_channel(self, event: Event, channel_id: str, topic: str, links: list[Link]) -> None:
        attributes = of_begin(event, content=False) | {names.CHANNEL: topic}
        place = self._place_of_channel(event.hub, channel_id)
        self._at_once(event, place, None, f"channel {topic[:60]}".rstrip(), attributes, links)

    def _at_once(
        self,
        event: Event,
        place: Place,
        parent_id: int | None,
        name: str,
        attributes: Mapping[str, Any],
        links: Sequence[Link],
    ) -> None:
        if place.is_sampled:
            at_ns = _moment(event)
            span = SpanData(
                place=place,
                parent_id=parent_id,
                name=name,
                is_client=False,
                start_ns=at_ns,
                end_ns=at_ns,
                attributes=attributes,
                links=tuple(links),
                status="ok",
            )
            self._made.append(span)

    def _agent_switched(self, event: Event) -> None:
        turn = self._turn_of(event)
        to_agent, from_agent = text_of(event, "to_agent"), text_of(event, "from_agent")
        if turn is not None and to_agent:
            self._switched.put(to_agent, (turn, from_agent))

    # -- what happens meanwhile --

    def _note(self, event: Event, what: str) -> None:
        envelope_id = text_of(event, "envelope_id") if event.kind == "envelope.posted" else ""
        if envelope_id and (turn := self._turn_of(event)) is not None:
            self._places.put(("envelope", envelope_id), turn)
        if what == "turn":
            begun = self._open_turn_of(event)
        else:
            call = _call(event, what)
            begun = None if call is None else self._open.find(call)
        if begun is not None and len(begun.notes) < _NOTES_MAX:
            attributes = of_end(event, content=False) | {names.SEQ: event.seq}
            begun.notes.append(Note(event.kind, _moment(event), attributes))

    # -- where a span is --

    def _place(self, event: Event, what: str, span_id: int) -> tuple[Place, int | None, list[Link]]:
        """Return the place of a span that begins, the id of its parent, None for the root, and its links."""
        if what == "life":  # it outlasts what it was begun in
            trace_id = trace_id_of(f"{event.hub} life {span_id}")
            return Place(trace_id, span_id, self._is_sampled(trace_id)), None, []
        above = self._above(event, what)
        links = self._links(event, what)
        if (given := parsed(event.traceparent)) is not None:
            if above is None or above.trace_id != given.trace_id:
                links += [] if above is None else [Link(above, {names.LINK: "cause"})]
                place = Place(given.trace_id, span_id, given.is_sampled, given.span_id)
                return place, given.span_id, links
            # A span of the program's own is nearer than what it is called in.
            parent_id = above.span_id if above.remote_id == given.span_id else given.span_id
            return Place(given.trace_id, span_id, above.is_sampled, given.span_id), parent_id, links
        if above is not None:
            return Place(above.trace_id, span_id, above.is_sampled, above.remote_id), above.span_id, links
        if event.correlation_id is None and event.channel_id and what != "turn":
            channel = self._channel(event, event.channel_id)
            return Place(channel.trace_id, span_id, channel.is_sampled), channel.span_id, []
        lone = event.correlation_id
        if not lone:
            lone = f"{event.hub} {what} {text_of(event, 'envelope_id') if what == 'turn' else ''} {span_id}"
        trace_id = trace_id_of(lone)
        root_id = self._roots.get(trace_id)
        if root_id is None:
            self._roots.put(trace_id, span_id)
        return Place(trace_id, span_id, self._is_sampled(trace_id)), root_id, links

    def _above(self, event: Event, what: str) -> Place | None:
        """Return the span that one of an event is part of, if the hub has it."""
        if what == "agent":
            return None
        if what != "turn" and (turn := self._turn_of(event)) is not None:
            return turn
        task_id = text_of(event, "parent_id") if what == "task" else event.task_id
        if task_id and (task := self._places.get(("task", id_of(task_id) or 0))) is not None:
            return task
        envelope_id = text_of(event, "envelope_id") if what == "turn" else ""
        return self._places.get(("envelope", envelope_id)) if envelope_id else None

    def _turn_of(self, event: Event) -> Place | None:
        if event.turn_id and (place := self._places.get(("turn", id_of(event.turn_id) or 0))) is not None:
            return place
        turn = self._open_turn_of(event)
        return None if turn is None else turn.place

    def _open_turn_of(self, event: Event) -> Begun | None:
        """Return the turn that an event names; where it names none, one that its agent is in."""
        if event.turn_id:
            return self._open.find(Call("turn", id_of(event.turn_id) or "", None, None))
        return self._turns.of(event)

    def _links(self, event: Event, what: str) -> list[Link]:
        if what not in ("turn", "task"):
            return []
        links = []
        if event.channel_id:
            channel = self._channel(event, event.channel_id)
            if channel.is_sampled:
                links.append(Link(channel, {names.LINK: "channel"}))
        name = self._name_of(event.agent_id)
        if what == "turn" and name and (switched := self._switched.get(name)) is not None:
            place, from_agent = switched
            links.append(Link(place, {names.LINK: "hand_over", names.HAND_OVER: from_agent}))
        return links

    def _channel(self, event: Event, channel_id: str) -> Place:
        """Return the place of a channel, whose span is shown before those that belong to it."""
        key = id_of(channel_id) or 0
        if key not in self._channels:
            self._show_channel(event, channel_id, "", [])
        elif (span := self._channels.get(key)) is not None:
            self._made.append(span)
        self._channels.put(key, None)
        return self._place_of_channel(event.hub, channel_id)

    def _place_of_channel(self, hub: str, channel_id: str) -> Place:
        trace_id = trace_id_of(f"{hub} channel {channel_id}")
        return Place(trace_id, span_id_of(hub, "channel", channel_id), self._is_sampled(trace_id))

    def _is_sampled(self, trace_id: int) -> bool:
        # As OpenTelemetry's TraceIdRatioBased: by the trace alone, so that all spans of it are shown, or none.
        return (trace_id & 0xFFFF_FFFF_FFFF_FFFF) < round(self._settings.ratio * 2**64)

    def _name_of(self, agent_id: str | None) -> str:
        return (self._names.get(id_of(agent_id) or 0) or "") if agent_id else ""


def _call(event: Event, what: str) -> Call | None:
    tie = id_of(field(event, TIES[what]))
    if tie is None:
        return None
    if what in OF_ALL or what == "turn":
        return Call(what, tie, None, None)
    if what == "life":
        return Call(what, tie, None, id_of(field(event, "worker")))
    return Call(what, tie, id_of(event.agent_id), id_of(event.turn_id))


def _span_name(event: Event, what: str, agent: str) -> str:
    about = {"turn": agent, "model": text_of(event, "model"), "tool": text_of(event, "tool")}
    if what == "task":
        return f"invoke_workflow {(text_of(event, 'capability') or text_of(event, 'title'))[:60]}".rstrip()
    if what == "life":
        return f"agent {text_of(event, 'name')[:100]}".rstrip()
    if what == "approval":
        return f"approve {text_of(event, 'action')[:60]}".rstrip()
    return f"{OPERATIONS[what]} {about[what][:100]}".rstrip()


def _moment(event: Event) -> int:
    """Return when an event happened, where it happened."""
    return moment_of(event.occurred_at) or moment_of(event.at) or 0


_MILLISECONDS_MAX = 1e13


def _duration(event: Event) -> int | None:
    stated = field(event, "duration_ms")
    if type(stated) is int or type(stated) is float:
        return round(stated * 1_000_000) if 0 <= stated <= _MILLISECONDS_MAX else None
    return None
