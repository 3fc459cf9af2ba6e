"""The feed of one hub: events redacted, encoded and batched once for all subscribers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import attrs
import structlog

from hubwire import Event, GenericEvent, Hub, Matcher, UnknownEvent, codec
from hubwire.waking import Waker

from ._items import Missed, TailItem, cursor_after

__all__ = ("Counts", "Feed", "Redactor")

Redactor = Callable[[Event], Event | None]
"""Returns the event as outsiders may see it, or None to withhold it."""

ITEMS_HELD = 4096
"""How many events are held redacted and encoded, for subscribers that reach them a little later than others."""

BATCHES_HELD = 64

_log = structlog.get_logger("hubwire.live")


@attrs.define
class Counts:
    """The counts in :class:`LiveTailStatistics`."""

    subscribed: int = 0
    refused: int = 0
    sent: int = 0
    missed: int = 0
    redaction_failures: int = 0


class Feed:
    """What the subscribers of one hub share: the items, the batches, and the order in which they read on."""

    def __init__(self, hub: Hub, redactor: Redactor | None, counts: Counts) -> None:
        self.hub = hub
        self._redactor = redactor
        self._counts = counts
        self._items: dict[int, TailItem | None] = {}
        self._batches: dict[tuple[int, int, tuple[str, ...]], tuple[TailItem, ...]] = {}
        self._matchers: WeakValueDictionary[tuple[str, ...], Matcher] = WeakValueDictionary()
        self._waker = Waker()

    def matcher(self, pattern: str | Iterable[str]) -> Matcher:
        """Return the matcher of a pattern: one object for all equal patterns."""
        fresh = Matcher(pattern)
        return self._matchers.setdefault(fresh.patterns, fresh)

    def batch(self, start: int, events: Sequence[Event], matcher: Matcher) -> tuple[TailItem, ...]:
        """Return the items of the events that match, from ``start`` on: built once, for the first subscriber there."""
        key = (start, len(events), matcher.patterns)
        batch = self._batches.get(key)
        if batch is None:
            batch = tuple(item for event in matcher.select(events) if (item := self._item(event)) is not None)
            self._batches[key] = batch
            if len(self._batches) > BATCHES_HELD:
                del self._batches[next(iter(self._batches))]
        self._counts.sent += len(batch)
        return batch

    def _item(self, event: Event) -> TailItem | None:
        seq = event.seq
        try:
            return self._items[seq]
        except KeyError:
            pass
        shown = event if self._redactor is None else self._redact(self._redactor, event)
        item = self._items[seq] = None if shown is None else TailItem(shown, seq, event.hub)
        if len(self._items) > ITEMS_HELD:
            del self._items[next(iter(self._items))]
        return item

    def _redact(self, redactor: Redactor, event: Event) -> Event | None:
        try:
            shown = redactor(event)
            if shown is None or shown is event:
                return shown
            if isinstance(shown, UnknownEvent):
                # It encodes as the bytes it was read from, which contain the redacted fields.
                shown = _with_own_body(shown)
            codec.encode(shown)
            return shown
        except Exception as error:  # noqa: BLE001 - a redactor that fails must not let out what it should have hidden
            self._counts.redaction_failures += 1
            # Not the error's text, which may quote the payload.
            _log.error("redactor raised", kind=event.kind, seq=event.seq, error=type(error).__name__)
            return GenericEvent(
                kind=event.kind,
                seq=event.seq,
                id=event.id,
                at=event.at,
                hub=event.hub,
                data={"$redacted": type(error).__name__},
            )

    def missed(self, first_seq: int, last_seq: int) -> Missed:
        self._counts.missed += last_seq - first_seq + 1
        return Missed(first_seq=first_seq, last_seq=last_seq, cursor=cursor_after(self.hub.id, last_seq))

    async def wait_for_place(self) -> None:
        """Return in a later step of the loop, after the subscribers that called this earlier."""
        await self._waker.wait_in_line()


def _with_own_body(event: UnknownEvent) -> UnknownEvent:
    kind: Any = Event
    header = {field.name: getattr(event, field.name) for field in attrs.fields(kind) if field.init}
    present = {name: value for name, value in header.items() if value is not None and (name, value) != ("depth", 0)}
    body = codec.encode_fields({**event.fields, **present, "kind": event.kind})
    return UnknownEvent(**header, kind=event.kind, fields=event.fields, body=body)
