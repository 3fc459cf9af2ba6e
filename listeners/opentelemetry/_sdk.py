"""What OpenTelemetry is called for: the only file that makes its objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hubwire import installed_version
from hubwire.errors import ConfigurationError

from ._ids import Place
from ._span import SpanData

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ("check_installed", "exporter_to", "exports_by", "resource_of")


def check_installed(name: str) -> None:
    """Raise :class:`~hubwire.errors.ConfigurationError` where OpenTelemetry is not installed."""
    try:
        import_module("opentelemetry.sdk.trace")
    except ImportError as error:
        raise ConfigurationError(f"{name} needs OpenTelemetry; install it by: pip install 'hubwire[otel]'") from error


def exporter_to(endpoint: str | None) -> SpanExporter:
    """Return an exporter to a collector; without an endpoint it goes by the environment variables of OpenTelemetry."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "OpenTelemetry() sends to a collector by opentelemetry-exporter-otlp-proto-http; install it by:"
            " pip install 'hubwire[otel]', or give it an exporter"
        ) from error
    return OTLPSpanExporter(endpoint=endpoint)


def resource_of(service: str | None) -> Any:
    """Return what all spans are of: the service, by its name, and what the environment says of it."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra

    attributes: dict[str, Any] = {"telemetry.distro.name": "hubwire", "telemetry.distro.version": installed_version()}
    if service is not None or not (
        "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    ):
        attributes["service.name"] = service or "hubwire"
    return Resource.create(attributes)


def exports_by(exporter: SpanExporter, service: str | None) -> Callable[[Sequence[SpanData]], None]:
    """Return what exports spans by this exporter; it raises where that reports a failure."""
    made: list[Any] = []  # the resource, which may look at the machine: in the thread that exports

    def export(spans: Sequence[SpanData]) -> None:
        from opentelemetry import context  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - an extra

        if not made:
            made.append(resource_of(service))
            key = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")
            context.attach(context.set_value(key, True))  # the way to the collector makes no spans of its own
        result = exporter.export([_readable(span, made[0]) for span in spans])
        if result is not SpanExportResult.SUCCESS:
            raise ConnectionError("the exporter reports a failure: is the collector there, and does it take OTLP?")

    return export


def _readable(span: SpanData, resource: Any) -> ReadableSpan:
    from opentelemetry.sdk.trace import Event as SpanEvent, ReadableSpan  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415 - an extra
    from opentelemetry.trace import Link, SpanKind  # noqa: PLC0415 - an extra
    from opentelemetry.trace.status import Status, StatusCode  # noqa: PLC0415 - an extra

    code = {"ok": StatusCode.OK, "error": StatusCode.ERROR, "unset": StatusCode.UNSET}[span.status]
    parent = None if span.parent_id is None else _beside(span.place, span.parent_id)
    return ReadableSpan(
        name=span.name,
        context=_context(span.place),
        parent=None if parent is None else _context(parent),
        resource=resource,
        attributes=dict(span.attributes),
        events=[SpanEvent(note.name, dict(note.attributes), note.at_ns) for note in span.notes],
        links=[Link(_context(link.place), dict(link.attributes)) for link in span.links],
        kind=SpanKind.CLIENT if span.is_client else SpanKind.INTERNAL,
        status=Status(code, span.message or None) if code is StatusCode.ERROR else Status(code),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope("hubwire", installed_version()),
    )


def _beside(place: Place, span_id: int) -> Place:
    """Return the place of another span of the same trace."""
    return Place(place.trace_id, span_id, place.is_sampled)


def _context(place: Place) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415 - an extra

    return SpanContext(place.trace_id, place.span_id, is_remote=False, trace_flags=TraceFlags(int(place.is_sampled)))
