"""OpenTelemetry: spans of what agents do, for collectors of OTLP; the extra ``otel`` brings what it needs."""

from __future__ import annotations

from ._exporting import ExportStatistics
from .listener import OpenTelemetry

__all__ = ("ExportStatistics", "OpenTelemetry")
