"""What is large is redacted in a thread: a megabyte of hostile text takes tenths of a second.

The event loop would be held up as long. What is small stays on the loop: going to a thread and back takes ten times as
long as most of it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple, Unpack

from anyio import CapacityLimiter, to_thread

from .. import codec
from ..events import Event
from .redactor import Redactor

__all__ = ("LARGE_BYTES", "TOGETHER_BYTES", "Aside", "are_large", "redact_event")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LARGE_BYTES = 64 * 1024
"""What has more bytes of JSON is redacted in a thread: less takes a few milliseconds, whatever it is."""

TOGETHER_BYTES = 256 * 1024
"""How many bytes the events of a batch may have that is redacted on the loop: nearly all batches have fewer."""


def are_large(events: Sequence[Event]) -> bool:
    """Tell whether one of these events is large, or all together are."""
    sizes = [*map(codec.size_of, events)]
    size = sum(sizes)
    return size > LARGE_BYTES and (size > TOGETHER_BYTES or max(sizes) > LARGE_BYTES)


async def redact_event(redactor: Redactor, event: Event) -> Event:
    """Return an event as :meth:`Redactor.redact_event` does; a large one is redacted in a thread."""
    return (
        await Aside.of(redactor).call(_made, redactor, event) if are_large((event,)) else redactor.redact_event(event)
    )


def _made(redactor: Redactor, event: Event) -> Event:
    made = redactor.redact_event(event)
    codec.encode(made)  # that takes milliseconds, too
    return made


class Aside:
    """Runs the calls of one redactor in threads, one after the other in the order in which they come.

    Two at once would not be done earlier: one holds the interpreter. They would only be in the way of the loop.
    """

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None
        """Its own: a rule that hangs in a thread takes none from others."""
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    @classmethod
    def of(cls, redactor: Redactor) -> Aside:
        aside = _of.get(redactor)
        if aside is None:
            aside = _of[redactor] = cls()
        return aside

    async def call(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Return what the function returns, with a copy of the caller's context.

        Who is cancelled meanwhile goes on with its cancellation when the call has ended: it cannot be stopped.
        """
        loop = asyncio.get_running_loop()
        if self._limiter is None or self._loop is None or self._loop() is not loop:
            self._limiter, self._loop = CapacityLimiter(1), weakref.ref(loop)
        return await to_thread.run_sync(function, *args, limiter=self._limiter)


_of: weakref.WeakKeyDictionary[Redactor, Aside] = weakref.WeakKeyDictionary()
