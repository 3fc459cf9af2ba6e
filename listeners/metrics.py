"""Metrics: counters, gauges and latencies of a hub's events, in memory.

Handling an event is one addition under its kind, severity and outcome; sums over these are computed when a snapshot is
taken. Every table is bounded, however many kinds, severities or call ids a program invents.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import attrs

from hubwire import Event, GenericEvent, Hub, HubStatistics, UnknownEvent
from hubwire.clock import SystemClock
from hubwire.errors import ConfigurationError
from hubwire.ports import Clock

from ._histogram import Histogram
from ._open_calls import TEXT_MAX, Call, OpenCalls, id_of

__all__ = ("BOUNDS_SECONDS", "Latency", "Metrics", "MetricsSnapshot")

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""The upper bounds of the buckets of a :class:`Latency`."""

OTHER = "other"
"""The name under which an event is counted that has no count of its own, because there are too many names."""

_PAIRS = {"tool": "call_id", "model": "call_id", "turn": "turn_id", "task": "task_id"}
"""Pairs of a beginning and an end, and the field that ties the two together, within an agent and a turn."""
_MILLISECONDS_MAX = 1e13
"""Three centuries: no call takes longer, also where its end says so."""

_TOKENS_MAX = 2**53
"""No call reads or writes more."""

_STARTS = ("called", "started")
_ENDS = ("abandoned", "cancelled", "completed", "ended", "expired", "failed")
_VERDICTS = ("approved", "denied", "escalated", "expired", "returned", "withdrawn")
_PAIRED = {
    f"{what}.{word}": (what, tie, word in _STARTS) for what, tie in _PAIRS.items() for word in (*_STARTS, *_ENDS)
} | {f"approval.{word}": ("approval", "approval_id", word == "requested") for word in ("requested", *_VERDICTS)}
_OF_NO_AGENT = frozenset({"task", "approval"})
"""Begun by one agent and ended by another; their ids are those of no other one."""
_TOKENS = {"input": "input_tokens", "output": "output_tokens"}


# --- what comes out -------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Latency:
    """Durations of one sort: a histogram, as in Prometheus."""

    count: int
    sum_seconds: float
    max_seconds: float
    bounds_seconds: tuple[float, ...]
    buckets: tuple[int, ...]
    """How many fell into each bucket; one more than there are bounds, because the last bucket has no bound."""
    min_seconds: float = 0.0

    @property
    def mean_seconds(self) -> float:
        return self.sum_seconds / self.count if self.count else 0.0

    def quantile_seconds(self, quantile: float) -> float:
        """Return an estimate of the quantile: in the right bucket, and between the smallest and the largest value.

        Within the bucket it is interpolated. 0 before the first measurement. Raises ``ValueError`` unless ``quantile``
        is between 0 and 1.
        """
        if not 0 <= quantile <= 1:
            raise ValueError(f"quantile {quantile} is not between 0 and 1")
        rest, lower = quantile * self.count, 0.0
        for upper, number in zip((*self.bounds_seconds, self.max_seconds), self.buckets, strict=True):
            if number and rest <= number:
                low, high = max(lower, self.min_seconds), min(upper, self.max_seconds)
                return low + max(high - low, 0.0) * rest / number
            rest, lower = rest - number, upper
        return self.max_seconds


@attrs.frozen(kw_only=True)
class MetricsSnapshot:
    """All numbers of a :class:`Metrics`, at one moment. Counters count since the start, or since ``reset()``."""

    events: int
    by_kind: Mapping[str, int]
    by_severity: Mapping[str, int]
    """Events that have a severity, by severity."""
    by_outcome: Mapping[str, int]
    """Events that have an outcome, by outcome."""
    events_per_second: float
    """Over the window, or since the start if that was later."""
    window_seconds: int
    newest_seq: int | None
    age: Latency
    """How old events were when they came here: how far behind the hub this listener, at least, is."""
    durations: Mapping[str, Latency]
    """From beginning to end, by sort of call: ``"tool"``, ``"model"``, ``"turn"``, ``"task"``, ``"approval"``."""
    open: Mapping[str, int]
    """How many of them have begun and not ended: a gauge."""
    forgotten: int
    """How many beginnings were forgotten without an end, because too many were open."""
    hub: HubStatistics | None
    """The statistics of the hub, with the lag, drops and failures of every listener; None before it is attached."""
    tokens: Mapping[str, int] = attrs.field(factory=dict)
    """What models read, ``"input"``, and wrote, ``"output"``, as far as the ends of their calls say so."""


# --- the listener ---------------------------------------------------------------------------------------------------


class Metrics:
    """Counts the events of a hub, and measures how long calls take; :meth:`snapshot` returns the numbers.

    ``window_seconds``: the period of the rate. ``open_max``: how many beginnings are remembered until their end comes;
    the oldest is forgotten first. ``names_max``: how many combinations of kind, severity and outcome have a count of
    their own; later ones are counted as ``other``. ``clock`` is that of the hub, if it is not the system's. Use it from
    the hub's own thread.

    The duration of a call is the one that its end states, or else the difference of the hub's times of the two events.
    An end belongs to the beginning with its id, its agent and its turn; one that names no agent, or no turn, to the
    oldest that fits otherwise.
    Raises :class:`~hubwire.errors.ConfigurationError` if a bound is less than 1.
    """

    def __init__(
        self,
        *,
        window_seconds: int = 60,
        open_max: int = 10_000,
        names_max: int = 1000,
        clock: Clock | None = None,
    ) -> None:
        if min(window_seconds, open_max, names_max) < 1:
            raise ConfigurationError("window_seconds, open_max and names_max must be at least 1")
        self._clock = clock or SystemClock()
        self._window_seconds = window_seconds
        self._names_max = names_max
        self._hub: Hub | None = None
        self._open: OpenCalls[int] = OpenCalls(open_max)
        self._moments = _Moments()
        self.reset()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'of no hub yet' if self._hub is None else f'of {self._hub!r}'}>"

    def bind(self, hub: Hub) -> None:
        """Include this hub's statistics in every snapshot from now on."""
        self._hub = hub

    def reset(self) -> None:
        """Count from zero again. Beginnings without an end are not a count, and stay."""
        self._names: dict[tuple[str, str | None, str | None], int] = {}
        self._ages = Histogram(BOUNDS_SECONDS)
        self._durations: dict[str, Histogram] = {}
        self._tokens: dict[str, int] = {}
        self._open.forgotten = 0
        self._newest_seq: int | None = None
        self._since = self._clock.monotonic()
        self._seconds: deque[tuple[int, int]] = deque()

    async def on_events(self, events: Sequence[Event]) -> None:
        """Count a batch."""
        names = self._names
        paired = []
        for event in events:
            name = (event.kind, event.severity, event.outcome)
            try:
                names[name] += 1
            except (KeyError, TypeError):
                self._count_new(*name)
            if event.kind in _PAIRED:
                paired.append(event)
        self._newest_seq = events[-1].seq
        self._count_second(len(events))
        now = self._clock.now_ns() // 1000
        self._ages.add([now - moment for moment in self._moments(events) if moment is not None])
        if paired:
            self._pair(paired)

    def snapshot(self) -> MetricsSnapshot:
        """Return all numbers, now."""
        kinds: Counter[str] = Counter()
        severities: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        for (kind, severity, outcome), number in self._names.items():
            kinds[kind] += number
            if severity is not None:
                severities[severity] += number
            if outcome is not None:
                outcomes[outcome] += number
        return MetricsSnapshot(
            events=kinds.total(),
            by_kind=_frozen(kinds),
            by_severity=_frozen(severities),
            by_outcome=_frozen(outcomes),
            events_per_second=self._rate(),
            window_seconds=self._window_seconds,
            newest_seq=self._newest_seq,
            age=Latency(**self._ages.numbers()),
            durations=_frozen({what: Latency(**histogram.numbers()) for what, histogram in self._durations.items()}),
            open=_frozen(self._open.count()),
            forgotten=self._open.forgotten,
            hub=None if self._hub is None else self._hub.statistics(),
            tokens=_frozen(self._tokens),
        )

    # -- names --

    def _count_new(self, *parts: Any) -> None:
        kind, severity, outcome = (_label(part) for part in parts)
        name = (kind or OTHER, severity, outcome)
        if name not in self._names and len(self._names) >= self._names_max:
            name = (OTHER, None, None)
        self._names[name] = self._names.get(name, 0) + 1

    # -- rate --

    def _count_second(self, number: int) -> None:
        second, seconds = int(self._clock.monotonic()), self._seconds
        if seconds and seconds[-1][0] == second:
            seconds[-1] = (second, seconds[-1][1] + number)
        else:
            seconds.append((second, number))
            self._forget_seconds(second)

    def _forget_seconds(self, now: int) -> None:
        while self._seconds and self._seconds[0][0] <= now - self._window_seconds:
            self._seconds.popleft()

    def _rate(self) -> float:
        now = self._clock.monotonic()
        self._forget_seconds(int(now))
        # The present second is not over, and counting may have begun in the middle of the first one.
        covered = min(max(now - self._since, 1.0), self._window_seconds - 1 + now % 1)
        return sum(number for _, number in self._seconds) / max(covered, 1.0)

    # -- pairs --

    def _pair(self, events: Sequence[Event]) -> None:
        took: dict[str, list[int]] = {}
        for event, moment in zip(events, self._moments(events), strict=True):
            what, name, is_start = _PAIRED[event.kind]
            if what == "model":
                self._count_tokens(event)
            tie = id_of(_field(event, name))
            if tie is None:
                continue
            agent, turn = (None, None) if what in _OF_NO_AGENT else (id_of(event.agent_id), id_of(event.turn_id))
            call = Call(what, tie, agent, turn)
            if is_start:
                if moment is not None:
                    self._open.begin(call, moment)
                continue
            began = self._open.end(call)
            stated = _field(event, "duration_ms")
            if type(stated) in (int, float) and 0 <= stated <= _MILLISECONDS_MAX:
                took.setdefault(what, []).append(round(stated * 1000))
            elif began is not None and moment is not None:
                took.setdefault(what, []).append(moment - began)
        for what, durations in took.items():
            self._durations.setdefault(what, Histogram(BOUNDS_SECONDS)).add(durations)

    def _count_tokens(self, event: Event) -> None:
        for direction, name in _TOKENS.items():
            number = _field(event, name)
            if type(number) is int and 0 < number <= _TOKENS_MAX:
                self._tokens[direction] = self._tokens.get(direction, 0) + number


def _label(value: Any) -> str | None:
    return (value if len(value) <= TEXT_MAX else OTHER) if isinstance(value, str) else None


def _field(event: Event, name: str) -> Any:
    """Return a field of an event of any class; None if it has no field of that name."""
    if isinstance(event, GenericEvent):
        return event.data.get(name, getattr(event, name, None))
    if isinstance(event, UnknownEvent):
        return event.fields.get(name, getattr(event, name, None))
    return getattr(event, name, None)


def _frozen(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping))


# --- how it measures ------------------------------------------------------------------------------------------------


class _Moments:
    """Reads the ``at`` of events: microseconds since the epoch, None for a text that is not a time."""

    def __init__(self) -> None:
        self._prefix = ""
        self._second = 0

    def __call__(self, events: Sequence[Event]) -> list[int | None]:
        # Almost every event falls into the same second as the previous one; reading a date is the expensive part.
        try:
            return [
                self._second + int(at[20:26])
                if (at := event.at)[:20] == self._prefix and len(at) == 27
                else self._read(at)
                for event in events
            ]
        except (TypeError, ValueError, KeyError):  # what is no text may be a mapping, which a slice may be a key of
            return [self._read(event.at) for event in events]

    def _read(self, at: Any) -> int | None:
        try:
            moment = datetime.fromisoformat(at)
            second = int(moment.replace(microsecond=0).timestamp()) * 1_000_000
        except (TypeError, ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            return None
        if len(at) == 27 and at[26] == "Z":
            self._prefix, self._second = at[:20], second
        return second + moment.microsecond
