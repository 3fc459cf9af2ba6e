"""Heartbeats: the signed log of a hub says, again and again, what is attached, what was seen, and what was dropped.

So a time in which there is no event is one of which the log knows something, under the signature of its next
checkpoint: that the hub was there, with these listeners, and that none of its events is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import anyio

from hubwire.clock import SystemClock, timestamp
from hubwire.errors import Fenced
from hubwire.late_types import late_type
from hubwire.log import Log
from hubwire.own_log import OwnLog
from hubwire.ports import Clock

from ._arguments import heartbeat_of
from ._guests import Worker
from ._signing import Signing

if TYPE_CHECKING:
    from hubwire import Attachment, Hub
else:
    Attachment = late_type("hubwire", "Attachment")
    Hub = late_type("hubwire", "Hub")

__all__ = ("KIND", "Heartbeat")

KIND = "log.heartbeat"

_LISTENERS_MAX = 100
_NAME_CHARS_MAX = 80

_log = OwnLog("audit")


class Heartbeat:
    """Writes ``log.heartbeat`` each so many seconds, by the clock of the hub, and when the log is closed."""

    def __init__(self, seconds: object) -> None:
        self._seconds = heartbeat_of(seconds)
        self._hub: Hub | None = None
        self._attachment: Attachment | None = None
        self._known: dict[str, Attachment] = {}
        """The listeners that there were at the last one, by name."""
        self._handled: int = 0
        """How many events the log had got at the last one."""
        self._writer: _Writer | None = None
        """None as long as the log has no heartbeat."""
        self._scope: anyio.CancelScope | None = None
        self._worker = Worker("hubwire audit heartbeat")

    def bind(self, hub: object) -> None:
        """The log is attached to this hub, or to the one of a tenant, of which nothing is said."""
        from hubwire import Hub  # noqa: PLC0415 - the program has one: a log alone needs none of it

        self._hub = hub if isinstance(hub, Hub) else None

    def attached(self, attachment: Attachment) -> None:
        """The log is attached: only then it has a heartbeat."""
        self._attachment, self._handled, self._known = attachment, 0, {}

    def begin(self, signing: Signing, log: Log, words: Callable[[str], str | None]) -> None:
        """Write one again and again from now on; ``words`` redacts a name."""
        attachment, seconds = self._attachment, self._seconds
        if attachment is None or seconds is None:
            return
        if self._hub is not None:
            self._known = {each.name: each for each in self._hub.attachments}
        self._writer, self._scope = writer, scope = _Writer(signing, log, words, seconds), anyio.CancelScope()

        async def run() -> None:
            with scope:  # a clock, which may be a guest, tells its own cancellation from others by that
                while log.is_open:
                    await attachment.clock.sleep(seconds)
                    await self._beat(writer, attachment, "interval")
                    await signing.sign_if_it_can()

        self._worker.start(run)

    async def close(self, seconds: float) -> None:
        """Write the last one, in so many seconds at most, unless the hub has not come to its beginning."""
        writer, attachment = self._writer, self._attachment
        self._writer = None
        if self._scope is not None:
            self._scope.cancel()
        await self._worker.finish(seconds)
        if writer is None or attachment is None or not writer.log.is_open or attachment.begins_seq is None:
            return
        with anyio.move_on_after(seconds):
            await self._beat(writer, attachment, "closing")

    async def _beat(self, writer: _Writer, attachment: Attachment, why: Literal["interval", "closing"]) -> None:
        handled = attachment.statistics().handled
        events, self._handled = handled - self._handled, handled
        await writer.write(attachment.clock, why, {"events": events, **self._numbers(attachment, writer.words)})

    def _numbers(self, attachment: Attachment, words: Callable[[str], str | None]) -> dict[str, Any]:
        """Return what is attached, and what was dropped since the hub was started."""
        if self._hub is None:
            own = attachment.statistics()
            return {"listeners": [_line(own, words)], "dropped": {"listeners": own.dropped}}
        found, known = self._hub.statistics(), self._known
        known.update((each.name, each) for each in self._hub.attachments)
        feeds = [each.numbers for each in found.feeds]
        numbers = {
            "committed": found.committed,
            "listeners": [_line(each.statistics(), words) for each in islice(known.values(), _LISTENERS_MAX)],
            "dropped": {
                "listeners": found.listeners_dropped,
                "listeners_lost": found.listeners_lost,
                "offers": found.offers_dropped,
                "recorders": sum(each.get("dropped", 0) for each in feeds),
                "refused": sum(each.get("refused", 0) for each in feeds),
            },
        }
        more = len(known) - _LISTENERS_MAX
        # Those that were detached are said once: when the hub is closed, all others are already.
        self._known = {name: each for name, each in known.items() if each.state.value != "detached"}
        return {**numbers, "listeners_more": more} if more > 0 else numbers


def _line(each: Any, words: Callable[[str], str | None]) -> dict[str, Any]:
    return {
        "name": (words(each.name) or "")[:_NAME_CHARS_MAX],
        "duty": each.duty.value,
        "state": each.state.value,
        "handled": each.handled,
        "dropped": each.dropped,
        "failed": each.failed,
    }


class _Writer:
    """What a heartbeat is written with."""

    def __init__(self, signing: Signing, log: Log, words: Callable[[str], str | None], seconds: float) -> None:
        self.log = log
        self.words = words
        self._signing = signing
        self._seconds = seconds

    async def write(self, clock: Clock, why: str, fields: dict[str, Any]) -> None:
        """Append a heartbeat. What fails is counted with the checkpoints, and stops nothing."""
        newest = self._signing.newest
        try:
            body = self.log.own_record(
                KIND,
                at=_time(clock),
                why=why,
                seconds=self._seconds,
                signed=0 if newest is None else newest.size,
                **fields,
            )
            await self.log.append([body])
        except Fenced:  # the log says so itself
            return
        except Exception as error:  # noqa: BLE001 - it is counted and logged, and the log goes on
            self._signing.errors += 1
            _log.failure("a heartbeat of an audit log could not be written", error, log=self.log.path)


def _time(clock: Clock) -> str:
    try:
        return timestamp(clock.now_ns())
    except (ValueError, OverflowError):  # of a year that has no text
        return timestamp(SystemClock().now_ns())
