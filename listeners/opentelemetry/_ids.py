"""Ids of spans and traces, made from the ids that events have: a replay gives the same ones."""

from __future__ import annotations

import hashlib
import re

import attrs

__all__ = ("Place", "parsed", "span_id_of", "trace_id_of", "traceparent_of")

_HEX = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@attrs.frozen
class Place:
    """Where a span is: its trace, and its id there."""

    trace_id: int
    span_id: int
    is_sampled: bool
    remote_id: int | None = None
    """The span that the traceparent of its first event names."""


def trace_id_of(text: str) -> int:
    """Return the id of the trace of a text: a UUID, or 32 hex digits, as it is, and any other text by its digest."""
    if _HEX.fullmatch(text) and (given := int(text.replace("-", ""), 16)):
        return given
    return int.from_bytes(hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=16).digest()) or 1


def span_id_of(*parts: str) -> int:
    """Return the id of the span that these parts name; they are kept apart, so that no two lists of them are alike."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(joined.encode(errors="backslashreplace"), digest_size=8).digest()) or 1


def parsed(traceparent: str | None) -> Place | None:
    """Return the place that a traceparent names; None if it is none."""
    match = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if match is None or match[1] == "ff" or not (trace_id := int(match[2], 16)) or not (span_id := int(match[3], 16)):
        return None
    return Place(trace_id, span_id, bool(int(match[4], 16) & 1))


def traceparent_of(place: Place) -> str:
    """Return the traceparent that names this place."""
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{int(place.is_sampled):02x}"
