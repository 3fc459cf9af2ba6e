"""Stamping: the copy of an event that the hub commits, numbered, dated and frozen.

It is the hottest path of the hub, so the copying of each class is compiled: see :mod:`._pairs` for the classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ..errors import EventTooLarge
from ._canonical import INT_MAX, Freezer, PayloadTooLarge
from ._event import HEADER, Event
from ._pairs import fields_of

__all__ = ("EMPTY", "Context", "stamp")

_SHORT = 256
"""Text up to this length is not weighed: a kind would need thousands of such fields to become too large."""

_STAMPED = ("seq", "id", "at", "hub")
_INHERITED = ("tenant", "correlation_id", "traceparent", "causation_id")

_stampers: dict[type[Event], Callable[..., Event]] = {}


@attrs.frozen(kw_only=True)
class Context:
    """What an event inherits from the code that emits it: see :mod:`hubwire.context`."""

    tenant: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    causation_id: str | None = None
    depth: int = 0


EMPTY = Context()


def stamp(event: Event, seq: int, id: str, at: str, hub: str, context: Context, bytes_max: int) -> Event:  # noqa: A002
    """Return a stamped copy: numbered, dated, in its context, its payload canonical and frozen.

    Raises :class:`~hubwire.errors.EventTooLarge` if its JSON would certainly be longer than ``bytes_max``; otherwise
    ``_weight`` says whether it could be.
    """
    cls = type(event)
    try:
        stamper = _stampers[cls]
    except KeyError:
        stamper = _stampers[cls] = _compile_stamper(cls)
    try:
        return stamper(event, seq, id, at, hub, context, bytes_max)
    except PayloadTooLarge as error:
        raise EventTooLarge(
            f"event {event.kind!r} has more than {bytes_max} bytes of payload; store it elsewhere and emit a reference",
            kind=event.kind,
            size_bytes=error.size_bytes,
            limit_bytes=bytes_max,
        ) from None


def _compile_stamper(cls: type[Event]) -> Callable[..., Event]:
    """Compile the copying of one class: a loop over names and ``getattr`` would take three times as long."""
    lines = [
        "def stamp(event, seq, id, at, hub, context, bytes_max):",
        "    copy = new(open_class)",
        "    copy.seq = seq; copy.id = id; copy.at = at; copy.hub = hub; copy._body = None",
        "    freezer = None",
    ]
    for field in fields_of(cls):
        name = field.name
        if name in _STAMPED or not field.init:
            continue
        if name == "depth":
            lines.append("    copy.depth = context.depth")
            continue
        lines.append(f"    value = event.{name}")
        if name in _INHERITED:
            lines.append(f"    if value is None: value = context.{name}")
        # A header field that is not text would be read back as an unknown event, so it becomes text.
        is_text = name in HEADER and name != "metadata"
        scalar = "kind is bool or kind is int and -INT_MAX <= value <= INT_MAX or kind is tuple and not value"
        lines += [
            "    if value is not None:",
            "        kind = type(value)",
            "        if kind is str:",
            "            known = len(value) <= SHORT and value.isascii()",
            "        else:",
            f"            known = {False if is_text else scalar}",
            "        if not known:",
            "            freezer = freezer or Freezer(bytes_max)",
            f"            value = freezer.{'freeze_text' if is_text else 'freeze'}(value)",
            f"    copy.{name} = value",
        ]
    lines += [
        "    copy._weight = freezer.weight if freezer else 0",
        "    copy.__class__ = frozen_class",
        "    return copy",
    ]
    namespace: dict[str, Any] = {
        "new": object.__new__,
        "open_class": cls.__mro__[1],
        "frozen_class": cls,
        "Freezer": Freezer,
        "INT_MAX": INT_MAX,
        "SHORT": _SHORT,
    }
    exec("\n".join(lines), namespace)  # noqa: S102 - the names in it are those of declared fields
    stamper: Callable[..., Event] = namespace["stamp"]
    return stamper
