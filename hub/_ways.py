"""Ways into a hub and out of it that need several of its parts; :class:`~hubwire.Hub` says what each promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import anyio

from ._arguments import EVENTS, MATCHER, filters_of, name_to_forget, pattern_of, reading_of, seconds_to_flush
from ._commands import Core
from ._commit.threads import rough_bytes
from ._delivery.attachment import AttachmentState
from ._delivery.matcher import Matcher, matcher_of
from ._delivery.stream import EventStream
from ._foreign.arguments import Call, is_a
from ._parts import Parts
from .errors import ConfigurationError, NotFound
from .events import Event
from .events._shown import shown

__all__ = ("Ways",)

E = TypeVar("E", bound=Event)

_MEASURE_CALLS = Call("hub.measure_calls()", ConfigurationError)

_NO_FILTERS: Mapping[str, object] = {}


class Ways:
    """What the methods of the same names of a hub do."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lifecycle = parts.lifecycle
        self._pipeline = parts.pipeline
        self._fanout = parts.fanout
        self._upkeep = parts.upkeep

    def measure_calls(self, record: Callable[[str, float], object]) -> Callable[[], None]:
        if not callable(record) or is_a(record, type):
            raise _MEASURE_CALLS.refusal(
                "record", record, "a function", "write one that takes the name of an attachment, and seconds"
            )
        call_times = self._fanout.announcements.call_times
        call_times.add(record)
        return partial(call_times.remove, record)

    def emit_threadsafe(self, event: E) -> Future[E]:
        size = rough_bytes(event, self._parts.limits.thread_bytes_max)
        return self._parts.from_threads.submit(partial(self._emit_for_thread, event), size)

    async def _emit_for_thread(self, event: E, future: Future[E]) -> None:
        def admitted() -> tuple[E]:
            if not future.set_running_or_notify_cancel():
                raise asyncio.CancelledError
            self._parts.from_threads.taken(future)
            return (event,)

        self._pipeline.ingress.check(event)
        if self._parts.emitting.is_needed:
            event = await self._parts.emitting.allowed(event)
        future.set_result((await self._pipeline.execute(admitted, are_own=False))[0])

    def events(
        self,
        after: object,
        pattern: object,
        *,
        history: object,
        which: Mapping[str, object] = _NO_FILTERS,
        core: Core | None = None,
    ) -> EventStream:
        """See :meth:`hubwire.Hub.events`; ``core`` is that of the face on which it was called."""
        position, seq, kinds, is_past_wanted = reading_of(after, pattern, history)
        filters = filters_of(core or self._parts.core, EVENTS, which)
        ring, hub_id = self._pipeline.ring, self._pipeline.hub_id
        if not ring.is_numbered:
            self._lifecycle.check_open()  # which it is not: the error says whether it starts, or its start was refused
        if self._lifecycle.takes_events:
            self._lifecycle.check_here()
        if position is not None and position.hub != hub_id:
            raise position.other_history(f"this is hub {hub_id}")
        if position is not None and position.seq >= ring.committed.value:
            raise position.other_history(f"the newest event is {ring.committed.value - 1} here")
        replays = self._fanout.replays if is_past_wanted else None
        return EventStream(self._pipeline, replays, seq, kinds, position, filters)

    def matcher(self, pattern: object, which: Mapping[str, object]) -> Matcher:
        """See :meth:`hubwire.Hub.matcher`."""
        return matcher_of(pattern_of(MATCHER, pattern), filters_of(self._parts.core, MATCHER, which))

    async def flush(self, timeout: object) -> None:
        seconds = seconds_to_flush(timeout)
        self._lifecycle.check_open()
        if self._fanout.is_calling():
            raise ConfigurationError("a listener cannot flush the hub: it would wait for itself; use another task")
        target = self._pipeline.ring.applied.value
        with anyio.move_on_after(seconds):
            await self._fanout.drain(target)
            self._lifecycle.check_not_failed()
            return
        behind = [
            each.name
            for each in self._fanout.attachments
            if each.done < target and each.state is not AttachmentState.SUSPENDED
        ]
        raise TimeoutError(
            f"after {seconds} s these have not handled event {target - 1}: {', '.join(behind) or 'the journal'}"
        )

    async def forget(self, name: object) -> None:
        self._lifecycle.check_open()
        name = name_to_forget(name)
        if any(attachment.name == name for attachment in self._fanout.attachments):
            raise ConfigurationError(f"listener {shown(name)} is attached; detach it before the hub forgets it")
        is_known = self._fanout.lost.forget(name)
        if self._upkeep is not None and self._upkeep.positions.get(name) is not None:
            await self._upkeep.forget(name)
        elif not is_known:
            raise NotFound(f"no position of a DURABLE listener named {shown(name)} is kept")
