"""What agents state about themselves, and what is observed of them: values, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar, cast

import attrs

from ..errors import ConfigurationError
from ..events import canonical

__all__ = ("InboxOverflow", "InboxRule", "Observation", "Passport", "Resume", "read", "write")

T = TypeVar("T")

LATENCIES_MAX = 31
"""How many latencies of a capability are kept, for the median of the newest."""


def check_text(instance: Any, attribute: Any, value: Any) -> None:
    """Refuse values that are not text, and text that UTF-8 cannot hold: it would not be read back as it was written."""
    if not isinstance(value, str) or canonical(value) != value:
        raise ConfigurationError(f"{_name(instance, attribute)} is text that can be written, not {value!r}")


def check_texts(instance: Any, attribute: Any, value: Any) -> None:
    if isinstance(value, str) or not isinstance(value, tuple):
        raise ConfigurationError(f"{_name(instance, attribute)} is a list of texts, not {value!r}")
    for each in value:
        check_text(instance, attribute, each)


def check_count(instance: Any, attribute: Any, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigurationError(f"{_name(instance, attribute)} is a whole number from 1 on, not {value!r}")


def _name(instance: Any, attribute: Any) -> str:
    return f"{type(instance).__name__}.{attribute.name}"


def _tuple(value: Iterable[Any]) -> tuple[Any, ...]:
    # A text is not a list of its letters: the validator refuses it.
    return cast(Any, value) if isinstance(value, str) else tuple(value)


_text = attrs.field(default="", validator=check_text)


@attrs.frozen(kw_only=True)
class Passport:
    """Who an agent is, as it states itself."""

    owner: str = _text
    provider: str = _text
    model: str = _text
    region: str = _text
    kind: str = attrs.field(default="agent", validator=check_text)
    """``agent``, ``human`` or ``remote_agent``."""
    cost: Mapping[str, Any] | None = None
    """Its cost, as ``{"input_per_mtok": 3.0, "output_per_mtok": 15.0, "latency_tier": "fast"}``."""

    def __attrs_post_init__(self) -> None:
        if self.kind not in ("agent", "human", "remote_agent"):
            raise ConfigurationError(f"Passport.kind is 'agent', 'human' or 'remote_agent', not {self.kind!r}")
        if self.cost is not None and not isinstance(self.cost, Mapping):
            raise ConfigurationError(f"Passport.cost is a mapping, not {self.cost!r}")


@attrs.frozen(kw_only=True)
class Resume:
    """What an agent claims it can do."""

    capabilities: tuple[str, ...] = attrs.field(default=(), converter=_tuple, validator=check_texts)
    domains: tuple[str, ...] = attrs.field(default=(), converter=_tuple, validator=check_texts)
    summary: str = _text
    examples: tuple[Any, ...] = attrs.field(default=(), converter=_tuple)
    """Examples of its work, as JSON values."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.examples, tuple):
            raise ConfigurationError(f"Resume.examples is a list, not {self.examples!r}")


class InboxOverflow(Enum):
    """What happens to an envelope for an inbox that is full.

    REJECT does not put it in, and ``envelope.dispatch_failed`` reports that; if no recipient is left, the post is
    refused. DROP_OLDEST makes room by dropping the oldest of the least urgent, never one more urgent than the new one;
    DROP_NEWEST drops the new one. Each drop is reported by ``envelope.dropped``.
    """

    REJECT = "reject"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


@attrs.frozen(kw_only=True)
class InboxRule:
    """How much an inbox holds, and how often it delivers."""

    capacity: int = attrs.field(default=1000, validator=check_count)
    """How many envelopes may wait to be acked."""
    overflow: InboxOverflow = attrs.field(default=InboxOverflow.REJECT)
    high_water: int | None = attrs.field(default=None, validator=check_count)
    """When this many wait, ``inbox.pressured`` reports it, once each time the number is reached from below; None: at
    four fifths of the capacity."""
    deliveries_max: int = attrs.field(default=5, validator=check_count)
    """An envelope is dead-lettered when it has been nacked so many times."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.overflow, InboxOverflow):
            raise ConfigurationError(f"InboxRule.overflow is an InboxOverflow, not {self.overflow!r}")
        if self.capacity is None or self.deliveries_max is None:
            raise ConfigurationError("InboxRule.capacity and InboxRule.deliveries_max are numbers, not None")

    @property
    def pressure_at(self) -> int:
        """At how many waiting envelopes ``inbox.pressured`` is emitted."""
        return max(1, self.capacity * 4 // 5) if self.high_water is None else self.high_water


@attrs.frozen(kw_only=True)
class Observation:
    """How an agent's tasks that needed a capability ended."""

    capability: str
    n: int = 0
    completed: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    latencies_ms: tuple[float, ...] = ()
    """The newest, oldest first."""

    @property
    def p50_latency_ms(self) -> float | None:
        """The median of the newest latencies; None without any."""
        ordered = sorted(self.latencies_ms)
        return ordered[(len(ordered) - 1) // 2] if ordered else None

    def with_task(self, ended: str, latency_ms: float | None) -> Observation:
        latencies = self.latencies_ms if latency_ms is None else (*self.latencies_ms, latency_ms)[-LATENCIES_MAX:]
        counts: dict[str, Any] = {"n": self.n + 1, ended: getattr(self, ended) + 1}
        return attrs.evolve(self, latencies_ms=latencies, **counts)

    def told(self) -> dict[str, Any]:
        """Return the part of it that is in events."""
        names = ("n", "completed", "failed", "expired", "cancelled", "p50_latency_ms")
        return {name: getattr(self, name) for name in names}


def is_latency(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value >= 0


def write(value: Any) -> Mapping[str, Any]:
    """Return the fields of one of these values, frozen, as an event holds them."""
    fields: Mapping[str, Any] = canonical(value)
    return fields


def read(kind: type[T], fields: Mapping[str, Any] | None) -> T:
    """Return the value that was written. Fields of a later version are left out, and new ones have their defaults."""
    given = fields or {}
    known = {field.name: given[field.name] for field in attrs.fields(kind) if field.name in given}  # type: ignore[arg-type]
    if kind is InboxRule and "overflow" in known:
        known["overflow"] = InboxOverflow(known["overflow"])
    return kind(**known)
