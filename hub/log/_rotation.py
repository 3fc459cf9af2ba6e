"""Rotation: when the segment that is being written is full, and the log goes on in a new one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from .. import codec
from .._values import Value
from ..errors import ConfigurationError, InvalidRecord
from ..ports import Clock, KnowledgeStore
from ._tail import Tail

__all__ = ("SEGMENT_BYTES", "Rotation", "SegmentAge", "last_fields", "moment_of", "next_named")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment of this size is full. Opening after a crash reads one segment."""

_LAST_LINE_BYTES = 64 * 1024
"""As much of a segment is read to find ``log.rotated`` at its end."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Rotation(Value):
    """When a segment of a log is sealed and the next one begun: before the append that finds one of these reached.

    An append is never divided, so that a segment may be longer by one of them. No timer seals a segment: while no
    record comes, the last one stays as it is. Raises :class:`~hubwire.errors.ConfigurationError` for what cannot be.
    """

    bytes_max: int = SEGMENT_BYTES
    """The size of a segment in bytes."""
    age_seconds_max: float | None = None
    """How long after its beginning a segment is sealed, by the clock of the log; also over restarts. None: never."""
    records_max: int | None = None
    """The records of a segment. None: any number."""

    def __attrs_post_init__(self) -> None:
        """Refuse what is no limit."""
        _check("bytes_max", self.bytes_max, (int,), "a number of bytes, 1 or more")
        if self.age_seconds_max is not None:
            _check("age_seconds_max", self.age_seconds_max, (int, float), "a number of seconds above 0, or None")
        if self.records_max is not None:
            _check("records_max", self.records_max, (int,), "a number of records, 1 or more, or None")

    def is_due(self, tail: Tail, age_seconds: Callable[[], float] = float) -> bool:
        """Return whether the last segment of a log with this tail is full; an empty one never is."""
        if not tail.size:
            return False
        return (
            tail.size >= self.bytes_max
            or (self.records_max is not None and tail.records - tail.first >= self.records_max)
            or (self.age_seconds_max is not None and age_seconds() >= self.age_seconds_max)
        )


def _check(name: str, value: object, kinds: tuple[type, ...], wanted: str) -> None:
    if type(value) in kinds and 0 < value < math.inf:  # type: ignore[operator]
        return
    shown = repr(value) if type(value) in (int, float, bool, type(None)) else type(value).__name__
    raise ConfigurationError(f"Rotation(): {name} is {wanted}, not {shown:.80}")


class SegmentAge:
    """How old the segment is that is being written: since its beginning, by the clock of its log."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun_ns: int | None = None

    def begin(self) -> None:
        """A segment begins now."""
        self._begun_ns = self._clock.now_ns()

    async def find(self, store: KnowledgeStore, segments: Sequence[str]) -> None:
        """Find when the last one of ``segments`` was begun: the record says so that ends the one before it.

        The first segment of a log begins with a record that has a time, too. Where none says so, it begins now.
        """
        self.begin()
        moment = None
        with suppress(InvalidRecord):
            if len(segments) > 1:
                before = segments[-2]
                moment = moment_of((await last_fields(store, before, await store.size(before) or 0)).get("at"))
            elif segments:
                content = await store.read_bytes(segments[0], 0, _LAST_LINE_BYTES) or b""
                moment = moment_of(codec.decode_fields(content.partition(b"\n")[0]).get("at"))
        if moment is not None:
            self._begun_ns = moment

    def seconds(self) -> float:
        """Return the age in seconds. A clock that was set back makes the segment new."""
        now = self._clock.now_ns()
        if self._begun_ns is None or now < self._begun_ns:
            self._begun_ns = now
        return (now - self._begun_ns) / 1e9


def moment_of(at: object) -> int | None:
    """Return the time of a record of a log's own, in nanoseconds since 1970; None if it is none."""
    if type(at) is not str:
        return None
    try:
        moment = datetime.fromisoformat(at)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, TypeError, OverflowError):  # no time, one without a zone, or one that no calendar has
        return None


async def next_named(store: KnowledgeStore, path: str, size: int) -> object:
    """Return which segment the end of this one of ``size`` bytes names as the next; None if it names none.

    Raises :class:`~hubwire.errors.InvalidRecord` if it does not end in a record.
    """
    fields = await last_fields(store, path, size)
    return fields.get("next_segment") if fields.get("kind") == "log.rotated" and "seq" not in fields else None


async def last_fields(store: KnowledgeStore, path: str, size: int) -> dict[str, Any]:
    """Return the fields of the last record of a segment of ``size`` bytes.

    Raises :class:`~hubwire.errors.InvalidRecord` if it does not end in a record.
    """
    end = await store.read_bytes(path, max(0, size - _LAST_LINE_BYTES), size) or b""
    return codec.decode_fields(end[end.rfind(b"\n", 0, -1) + 1 :])
