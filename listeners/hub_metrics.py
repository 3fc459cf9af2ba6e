"""HubMetrics: every number of a hub, for those who show them: what events say, and what the hub says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from hubwire import Event, Hub, installed_version
from hubwire.errors import ConfigurationError
from hubwire.ports import Clock, KnowledgeStore

from ._histogram import Histogram
from ._past import past_events
from ._reading import Reading, of_actors, of_events, of_feeds, of_hub, of_listeners, of_tails
from ._totals import Totals, TotalsFile
from .metrics import BOUNDS_SECONDS, OTHER, Latency, Metrics

__all__ = ("HubMetrics", "Reading")

_STORE_FAMILIES = {"append": "hub_store_append_seconds", "read": "hub_store_read_seconds"}
"""By what the store does; all else is ``hub_store_write_seconds``."""


def _already() -> None:
    """There is nothing to end."""


class HubMetrics(Metrics):
    """:class:`~hubwire.listeners.Metrics`, and beside it how long each listener and each call of the store takes.

    :meth:`readings` returns all numbers, under the names of :mod:`hubwire.listeners.families`. It is what
    :class:`~hubwire.listeners.prometheus.PrometheusMetrics` and the other ways out are made of.

    With a ``store``, what is counted of the log, events by kind and tokens, goes on over restarts: it is kept at
    ``path``, at most every ``save_seconds`` and at the end, and events that came meanwhile are counted from the
    journal. Without one these counters begin at 0 with the process. ``labels_max``: how many values a label has; later
    ones are ``other``. The rest is as in :class:`~hubwire.listeners.Metrics`.
    Raises :class:`~hubwire.errors.ConfigurationError` for a bound below 1, or what is no store.
    """

    def __init__(
        self,
        *,
        store: KnowledgeStore | None = None,
        path: str = "/metrics/totals.json",
        save_seconds: float = 5.0,
        labels_max: int = 200,
        window_seconds: int = 60,
        open_max: int = 10_000,
        names_max: int = 1000,
        clock: Clock | None = None,
    ) -> None:
        if type(labels_max) is not int or labels_max < 1:
            raise ConfigurationError(f"{type(self).__name__}(): labels_max must be a whole number, 1 or more")
        if type(save_seconds) not in (int, float) or not 0 <= save_seconds < float("inf"):
            raise ConfigurationError(f"{type(self).__name__}(): save_seconds must be a number of seconds, 0 or more")
        super().__init__(window_seconds=window_seconds, open_max=open_max, names_max=names_max, clock=clock)
        self._labels_max = labels_max
        self._calls: dict[str, Histogram] = {}
        self._store_calls: dict[tuple[str, str], Histogram] = {}
        self._store_sums: dict[tuple[str, str], int] = {}
        self._file = None if store is None else TotalsFile(store, path)
        self._save_seconds = save_seconds
        self._saved_at = 0.0
        self._is_read = False
        self._unmeasured: Callable[[], None] = _already
        """Ends what :meth:`_measure` has begun."""
        self._is_entered = False
        self._hub_id = ""
        self._counted = -1
        """The ``seq`` of the last event that the totals have."""

    def bind(self, hub: Hub) -> None:
        """Include this hub's statistics from now on, and how long its listeners take. It is for one hub at a time."""
        if self._is_entered and self._hub is not None and hub is not self._hub:
            raise ConfigurationError(
                f"{type(self).__name__}: these are the metrics of another hub, which runs; make others for each hub"
            )
        super().bind(hub)
        self._measure()

    def _measure(self) -> None:
        self._unmeasured()
        if self._hub is not None:
            self._unmeasured = self._hub.measure_calls(self.on_listener_call)

    # -- what is measured --

    def on_listener_call(self, name: str, seconds: float) -> None:
        """Count a call of a listener; the hub calls this."""
        if name not in self._calls and len(self._calls) >= self._labels_max:
            name = OTHER
        self._calls.setdefault(name, Histogram(BOUNDS_SECONDS)).add([round(seconds * 1_000_000)])

    def on_store_call(self, operation: str, path: str, seconds: float, size_bytes: int, *, is_failure: bool) -> None:
        """Count a call of a store: give this to :func:`hubwire.stores.measured.measured`."""
        area = path.strip("/").partition("/")[0]
        family = _STORE_FAMILIES.get(operation, "hub_store_write_seconds")
        if (family, area) not in self._store_calls and len(self._store_calls) >= self._labels_max:
            area = OTHER
        self._store_calls.setdefault((family, area), Histogram(BOUNDS_SECONDS)).add([round(seconds * 1_000_000)])
        for name, number in (("hub_store_bytes_total", size_bytes), ("hub_store_errors_total", int(is_failure))):
            self._store_sums[name, area] = self._store_sums.get((name, area), 0) + number

    # -- totals --

    async def __aenter__(self) -> Self:
        self._measure()
        self._is_entered = True
        is_read, self._is_read = self._is_read, True  # it may be entered again, after a failure
        if not is_read and self._file is not None and (kept := await self._file.read()) is not None:
            for kind, severity, outcome, number in kept.names:
                name = (kind, severity, outcome)
                self._names[name] = self._names.get(name, 0) + number
            for direction, number in kept.tokens.items():
                self._tokens[direction] = self._tokens.get(direction, 0) + number
            self._counted, self._hub_id = kept.seq, kept.hub
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unmeasured()
        self._unmeasured = _already
        self._is_entered = False
        await self._save()

    async def on_events(self, events: Sequence[Event]) -> None:
        """Count a batch."""
        if self._file is None:
            await super().on_events(events)
            return
        if self._hub_id != events[0].hub:  # a hub without a journal is another one in each process
            self._hub_id, self._counted = events[0].hub, -1
        if self._counted + 1 < events[0].seq and self._hub is not None:
            async for past in past_events(self._hub, self._counted, events[0].seq):
                await super().on_events(past)
        if new := [event for event in events if event.seq > self._counted]:
            await super().on_events(new)
            self._counted = new[-1].seq
        if self._clock.monotonic() - self._saved_at >= self._save_seconds:
            await self._save()

    async def _save(self) -> None:
        if self._file is None or self._counted < 0:
            return
        self._saved_at = self._clock.monotonic()
        names = tuple((*name, number) for name, number in self._names.items())
        await self._file.write(Totals(hub=self._hub_id, seq=self._counted, names=names, tokens=dict(self._tokens)))

    # -- what comes out --

    def readings(self) -> list[Reading]:
        """Return all numbers, now; use it on the event loop of the hub."""
        return list(self._read())

    def _read(self) -> Iterator[Reading]:
        snapshot = self.snapshot()
        yield from of_events(snapshot)
        if self._hub is not None and snapshot.hub is not None:
            yield Reading("hub_info", {"hub": self._hub.id, "version": installed_version()}, 1)
            yield from of_hub(snapshot.hub, self._hub.health())
            yield from of_listeners(snapshot.hub.attachments, self._labels_max)
            yield from of_feeds(snapshot.hub.feeds, self._labels_max)
            yield from of_actors(snapshot.hub.actors, self._labels_max)
            yield from of_tails(self._tails(self._hub))
        for name, histogram in self._calls.items():
            yield Reading("hub_listener_duration_seconds", {"listener": name}, Latency(**histogram.numbers()))
        for (family, area), histogram in self._store_calls.items():
            yield Reading(family, {"area": area}, Latency(**histogram.numbers()))
        for (name, area), number in self._store_sums.items():
            yield Reading(name, {"area": area}, number)

    @staticmethod
    def _tails(hub: Hub) -> list[Any]:
        from .live import LiveTail  # noqa: PLC0415 - with its cursors: a hub without a tail does not wait for it

        listeners = (attachment.listener for attachment in hub.attachments)
        return [listener.statistics() for listener in listeners if isinstance(listener, LiveTail)]
