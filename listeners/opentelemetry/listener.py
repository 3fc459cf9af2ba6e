"""OpenTelemetry: a listener that makes spans of what agents do, and sends them to a collector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from hubwire import Duty, Event, Hub
from hubwire.errors import ConfigurationError
from hubwire.late_types import late_type

from .._methods import has_methods
from .._past import past_events
from ._attributes import moment_of
from ._exporting import Exporting, ExportStatistics
from ._ids import traceparent_of
from ._kinds import KINDS
from ._sdk import check_installed, exporter_to, exports_by
from ._tracing import Settings, Tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from hubwire.redaction import Redactor
    from hubwire.redaction.choice import Redacting
else:
    SpanExporter = late_type("opentelemetry.sdk.trace.export", "SpanExporter")
    Redactor = late_type("hubwire.redaction", "Redactor")
    Redacting = late_type("hubwire.redaction.choice", "Redacting")

__all__ = ("CONTENT_VARIABLE", "OpenTelemetry")

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment variable by which programs ask for what was said, asked and answered."""

_CLOSE_SECONDS = 4.0
"""How long leaving takes: less than what a hub waits for it."""
_CONFIRM_SECONDS = 20.0
"""How long a DURABLE one waits for the collector before it fails, and the hub tries again."""
_LEARN_MAX = 100_000
"""How many events of the past are read for what is open at the start."""


class OpenTelemetry:
    """Makes spans of actors, turns, model calls, tool calls, tasks and approvals, and sends them to a collector.

    ``endpoint``: the address for traces of a collector that takes OTLP over HTTP, such as
    ``http://localhost:4318/v1/traces``; by default, what the environment variables of OpenTelemetry say. ``exporter``:
    another ``SpanExporter`` instead. ``service``: the name of the program, by default ``OTEL_SERVICE_NAME``, or
    ``hubwire``. ``ratio``: the share of traces that is sent, of those that begin here; one that comes by a
    ``traceparent`` is sent if that says so. A trace is sent whole or not at all. ``content``: whether arguments,
    results, prompts and answers are sent; by default what ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` says.
    What is personal or secret is redacted, unless ``redactor`` is None. ``waiting_max``: how many spans may wait for
    the collector.

    Ids and times of spans are made from those of the events: the same event gives the same span, also after a restart.
    A turn or call whose end does not come is ended as abandoned, at the latest when the hub stops. Tasks and approvals
    go on over a restart, and so do their spans, where the hub has a journal.

    The hub never waits for the collector. BEST_EFFORT, spans are left out where it is away for too long, whole traces
    at a time. DURABLE, each span is sent at least once: the listener waits, and is suspended if it does not come back.

    Raises :class:`~hubwire.errors.ConfigurationError` where OpenTelemetry is not installed, or for a bound that is
    none.
    """

    pattern: tuple[str, ...] = (
        *("actor.crashed", "actor.started", "actor.stopped", "agent.*", "approval.*", "channel.created", "envelope.*"),
        *("error.raised", "hub.stopped", "loop.*", "model.*", "policy.decided", "sandbox.decided", "task.*", "tool.*"),
        "turn.*",
    )
    """The events that spans are made from; all others pass it by."""

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        exporter: SpanExporter | None = None,
        service: str | None = None,
        ratio: float = 1.0,
        content: bool | None = None,
        redactor: Redactor | Literal["default"] | None = "default",
        open_max: int = 10_000,
        waiting_max: int = 10_000,
    ) -> None:
        _check(endpoint, exporter, service, ratio)
        if any(type(bound) is not int or bound < 1 for bound in (open_max, waiting_max)):
            raise ConfigurationError("OpenTelemetry(): open_max and waiting_max must be whole numbers, 1 or more")
        check_installed("OpenTelemetry()")
        if content is None:
            content = os.environ.get(CONTENT_VARIABLE, "").lower() in ("1", "true")
        self._exporter = exporter_to(endpoint) if exporter is None else exporter
        self._endpoint = endpoint
        self._is_own = exporter is None
        self._service = service
        self._tracing = Tracing(Settings(ratio=ratio, content=bool(content), open_max=open_max))
        self._waiting_max = waiting_max
        self._exporting: Exporting | None = None
        self._hub: Hub | None = None
        self._newest: tuple[str, int] = ("", -1)
        """The id of the hub, and the ``seq`` of its last event that was handled."""
        self._last_at = ""
        self._redacting: Redacting | None = None
        if redactor is not None:
            from hubwire.redaction.choice import redacting  # noqa: PLC0415 - without one, none of it is needed

            self._redacting = redacting("OpenTelemetry", redactor)

    @property
    def withheld(self) -> int:
        """Of how many events the contents were left out, because they could not be redacted."""
        return 0 if self._redacting is None else self._redacting.withheld

    @property
    def open(self) -> int:
        """How many spans have begun and not ended."""
        return self._tracing.open_count

    def statistics(self) -> ExportStatistics:
        """Return how many spans were exported, wait, or were left out."""
        if self._exporting is None:
            return ExportStatistics(exported=0, waiting=0, dropped=0, failures=0, last_error=None)
        return self._exporting.statistics()

    def traceparent(self, turn_id: str) -> str | None:
        """Return the W3C Trace Context of the span of a turn, for the services that are called in it.

        ``with context.scope(traceparent=otel.traceparent(turn.id)): headers = context.headers()``. It is None until the
        listener has seen the beginning of the turn.
        """
        if type(turn_id) is not str:
            raise ConfigurationError("OpenTelemetry.traceparent(): turn_id is a text, the id of a turn")
        place = self._tracing.place_of_turn(turn_id)
        return None if place is None else traceparent_of(place)

    async def flushed(self, seconds: float = 5.0) -> bool:
        """Return whether the collector has got all spans that have ended, after so many seconds at most.

        Call ``hub.flush()`` before, so that what was emitted is a span.
        """
        if type(seconds) not in (int, float) or not 0 <= seconds < float("inf"):
            raise ConfigurationError("OpenTelemetry.flushed(): seconds is a number, 0 or more")
        return self._exporting is None or await self._exporting.flushed(seconds)

    def bind(self, hub: Hub) -> None:
        """Read what is open from the journal of this hub, at the first event. It is for one hub at a time."""
        is_at_work = self._exporting is not None and not self._exporting.has_ended
        if is_at_work and self._hub is not None and hub is not self._hub:
            raise ConfigurationError(
                "OpenTelemetry: it makes the spans of another hub, which runs; make another one for each hub"
            )
        self._hub = hub

    async def __aenter__(self) -> Self:
        self._exporting = self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        exporting = self._begin()
        if self._hub is None or self._hub.statistics().journal is None:
            exporting.put(self._tracing.abandon(moment_of(self._last_at) or 0, "the hub has ended", is_for_good=True))
        await exporting.close(_CLOSE_SECONDS)

    async def on_events(self, events: Sequence[Event]) -> None:
        """Make the spans of a batch, and leave them to the thread that exports."""
        exporting = self._begin()
        hub_id, newest = self._newest
        if hub_id != events[0].hub:
            newest = -1
        if newest < 0 < events[0].seq and self._hub is not None:
            await self._learn(self._hub, events[0].seq)
        new = [event for event in events if event.seq > newest and event.kind in KINDS]
        exporting.put(self._tracing.handle(await self._shown(new)))
        self._newest = (events[0].hub, max(newest, events[-1].seq))
        self._last_at = events[-1].at
        if exporting.keeps_all and not await exporting.flushed(_CONFIRM_SECONDS):
            raise TimeoutError(
                f"the collector has not taken spans for {_CONFIRM_SECONDS:g} s"
                f" ({exporting.statistics().last_error}); start it, then resume the listener if it is suspended"
            )

    async def _learn(self, hub: Hub, before: int) -> None:
        """Take in what is open: the spans that have ended were sent before."""
        async for past in past_events(hub, max(-1, before - 1 - _LEARN_MAX), before):
            self._tracing.learn(await self._shown([event for event in past if event.kind in KINDS]))

    async def _shown(self, events: Sequence[Event]) -> Sequence[Event]:
        return events if self._redacting is None or not events else await self._redacting.shown(events)

    def _begin(self) -> Exporting:
        if self._exporting is None or self._exporting.has_ended:
            attachments: Any = () if self._hub is None else self._hub.attachments
            duty = next((each.duty for each in attachments if each.listener is self), Duty.BEST_EFFORT)
            if self._exporting is not None and self._is_own:  # the one before was shut down
                self._exporter = exporter_to(self._endpoint)
            self._exporting = Exporting(
                exports_by(self._exporter, self._service),
                self._exporter.shutdown,
                self._waiting_max,
                keeps_all=duty is Duty.DURABLE,
            )
        return self._exporting


def _check(endpoint: object, exporter: object, service: object, ratio: object) -> None:
    for name, text in (("endpoint", endpoint), ("service", service)):
        if text is not None and (type(text) is not str or not text):
            raise ConfigurationError(f"OpenTelemetry(): {name} is a text that is not empty, or None")
    if endpoint is not None and not str(endpoint).startswith(("http://", "https://")):
        raise ConfigurationError("OpenTelemetry(): endpoint is an address such as http://localhost:4318/v1/traces")
    if endpoint is not None and exporter is not None:
        raise ConfigurationError("OpenTelemetry(): give it an endpoint or an exporter, which has its own, not both")
    if exporter is not None and not has_methods(exporter, "export", "shutdown"):
        raise ConfigurationError("OpenTelemetry(): exporter is a SpanExporter of opentelemetry-sdk")
    if type(ratio) not in (int, float) or not 0 <= ratio <= 1:  # type: ignore[operator]
        raise ConfigurationError("OpenTelemetry(): ratio is a number from 0, no trace, to 1, all traces")
