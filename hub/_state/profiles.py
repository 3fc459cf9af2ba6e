"""What agents state about themselves, and what is observed of them: values, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import islice
from typing import Any, TypeVar, cast

import attrs

from .._values import Value
from ..errors import CommandRejected, ConfigurationError
from ..events import canonical
from ..events._canonical import is_mark
from ..events._shown import is_a, member, nearest_name, shown

__all__ = ("InboxOverflow", "InboxRule", "Observation", "Passport", "Resume", "checked_rule", "read", "write")

T = TypeVar("T")

_ITEMS_MAX = 10_000

LATENCIES_MAX = 31
"""How many latencies of a capability are kept, for the median of the newest."""


def check_text(instance: Any, attribute: Any, value: Any) -> None:
    """Refuse values that are not text, and text that UTF-8 cannot hold: it would not be read back as it was written."""
    if not is_a(value, str) or canonical(value) != value:
        raise ConfigurationError(f"{_name(instance, attribute)} is text that can be written, not {shown(value)}")


def check_texts(instance: Any, attribute: Any, value: Any) -> None:
    if type(value) is not tuple:
        raise ConfigurationError(f"{_name(instance, attribute)} is a list of texts, not {shown(value)}")
    for each in value:
        check_text(instance, attribute, each)


def check_count(instance: Any, attribute: Any, value: Any) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ConfigurationError(f"{_name(instance, attribute)} is a whole number from 1 on, not {shown(value)}")


def _name(instance: Any, attribute: Any) -> str:
    return f"{type(instance).__name__}.{attribute.name}"


def _tuple(value: Iterable[Any]) -> tuple[Any, ...]:
    # What is no list, as a text is none of its letters, is left to the validator, which refuses it.
    if is_a(value, (str, bytes, Mapping)) or not is_a(value, Iterable):
        return cast(tuple[Any, ...], value)
    try:
        items = tuple(islice(value, _ITEMS_MAX + 1))
    except Exception as error:
        raise ConfigurationError("reading a list of a passport or a resume raised an exception") from error
    if len(items) > _ITEMS_MAX:
        raise ConfigurationError(f"a passport's or a resume's lists have at most {_ITEMS_MAX} items")
    return items


_text = attrs.field(default="", validator=check_text)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Passport(Value):
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
            raise ConfigurationError(f"Passport.kind is 'agent', 'human' or 'remote_agent', not {shown(self.kind)}")
        if self.cost is not None and not is_a(self.cost, Mapping):
            raise ConfigurationError(f"Passport.cost is a mapping, not {shown(self.cost)}")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Resume(Value):
    """What an agent claims it can do."""

    capabilities: tuple[str, ...] = attrs.field(default=(), converter=_tuple, validator=check_texts)
    domains: tuple[str, ...] = attrs.field(default=(), converter=_tuple, validator=check_texts)
    summary: str = _text
    examples: tuple[Any, ...] = attrs.field(default=(), converter=_tuple)
    """Examples of its work, as JSON values."""

    def __attrs_post_init__(self) -> None:
        if type(self.examples) is not tuple:
            raise ConfigurationError(f"Resume.examples is a list, not {shown(self.examples)}")


class InboxOverflow(Enum):
    """What happens to an envelope for an inbox that is full.

    REJECT does not put it in, and ``envelope.dispatch_failed`` reports that; if no recipient is left, the post is
    refused. DROP_OLDEST makes room by dropping the oldest of the least urgent, never one more urgent than the new one;
    DROP_NEWEST drops the new one. Each drop is reported by ``envelope.dropped``. With BLOCK the sender's post
    waits until there is room; a notice of the hub does not wait, and is treated as with REJECT.
    """

    REJECT = "reject"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    BLOCK = "block"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class InboxRule(Value):
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
        if not is_a(self.overflow, InboxOverflow):
            raise ConfigurationError(
                f"InboxRule.overflow is an InboxOverflow, not {shown(self.overflow)};"
                f" {member(self.overflow, InboxOverflow)}"
            )
        if self.capacity is None or self.deliveries_max is None:
            raise ConfigurationError("InboxRule.capacity and InboxRule.deliveries_max are numbers, not None")

    @property
    def pressure_at(self) -> int:
        """At how many waiting envelopes ``inbox.pressured`` is emitted."""
        return max(1, self.capacity * 4 // 5) if self.high_water is None else self.high_water


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Observation(Value):
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


_OF_INBOX = frozenset(field.name for field in attrs.fields(InboxRule))


def checked_rule(rule: Any) -> Mapping[str, Any]:
    """Return a rule's fields, with those about the inbox checked: the hub itself uses them, the arbiter the others."""
    fields = canonical(rule)
    if not isinstance(fields, Mapping) or is_mark(fields):
        raise CommandRejected(f"a rule must be an object with fields, or a mapping, not {shown(rule)}")
    _check_names_inbox(rule, fields)
    inbox = fields.get("inbox")
    if inbox is not None and (not isinstance(inbox, Mapping) or is_mark(inbox)):
        raise CommandRejected(
            f"the inbox of a rule must be an InboxRule, or a mapping with its fields, not {shown(inbox)}"
        )
    if unknown := sorted(set(inbox or ()) - _OF_INBOX):
        meant = nearest_name(unknown[0], _OF_INBOX)
        raise CommandRejected(
            f"an InboxRule has no {shown(unknown[0])}; it has {', '.join(sorted(_OF_INBOX))}"
            + ("" if meant is None else f"; did you mean {meant}?")
        )
    try:
        read(InboxRule, inbox)
    except (ConfigurationError, ValueError) as error:
        raise CommandRejected(f"the inbox of the rule is not valid: {error}") from error
    return fields


def _check_names_inbox(rule: Any, fields: Mapping[str, Any]) -> None:
    """Refuse what is meant for the inbox and would not come to it: the hub would go by the default."""
    if "inbox" in fields:
        return
    if fields and _OF_INBOX.issuperset(fields):
        raise CommandRejected(
            f"the rule {shown(rule)} has the fields of an InboxRule, and no inbox; write"
            " rule={'inbox': InboxRule(...)}"
        )
    if (near := nearest_name("inbox", fields, cutoff=0.8)) is not None:
        raise CommandRejected(f"the rule has {shown(near)}, and no inbox; did you mean inbox?")
