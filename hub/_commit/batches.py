"""Batches: events that are put by one command, are journaled as one, and after a crash are all there, or none.

A batch is on the ring like the events of any command. What makes it one is that no append of the journal divides it,
and that the journal is told where it is: see :class:`~hubwire.ports.BatchingJournal`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from ..context import Context, current
from ..errors import EventTooLarge, QuotaExceeded
from ..events import Event
from .held import is_inside, may_be_inside
from .pipeline import Pipeline
from .weights import LIGHT

__all__ = ("check_weight", "execute_together", "weight_of")

E = TypeVar("E", bound=Event)

_TURN = 128
"""As emitters of single events, let other tasks run when so many were put: listeners read them in steps, and what is
more than their mailboxes hold they would miss."""


async def execute_together(
    pipeline: Pipeline, events: Sequence[E], bytes_max: int, around: Context | None = None
) -> list[E]:
    """Put events as :meth:`Pipeline.execute` does, by one command, which is a batch; return them when it is committed.

    ``around`` is the context that they inherit, by default that of the running code. Raises
    :class:`~hubwire.errors.EventTooLarge`, without effect, if together they hold more than ``bytes_max``.
    """
    admission = pipeline.admission
    if may_be_inside() and is_inside(pipeline):
        admission.check_reserve()
        return _put(pipeline, events, bytes_max, around)
    if len(events) >= _TURN:
        await _let_others_run()  # what listeners have not read yet counts, too
    if admission.is_free:
        pipeline.lifecycle.check_open()
    else:
        await admission.wait_for_room()
    try:
        stamped = _put(pipeline, events, bytes_max, around)
    except QuotaExceeded as refused:
        await pipeline.until_told(refused)
        raise
    finally:
        admission.let_in()
    if stamped:
        await pipeline.until_committed(stamped[-1].seq)
    for _ in range(len(stamped) // _TURN):
        await _let_others_run()
    return stamped


async def _let_others_run() -> None:
    # Twice: what waits for the commit is woken in the first turn, and its listener called in the second.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def weight_of(event: Event) -> int:
    """Return what a frozen event counts in the bytes of a batch: light ones are bounded by their number."""
    weight = event._weight  # noqa: SLF001 - stamping left it for us
    return weight if weight >= LIGHT else 0


def check_weight(weight: int, bytes_max: int, kind: str) -> None:
    """Raise :class:`~hubwire.errors.EventTooLarge` if events of this weight are too large to be written as one."""
    if weight > bytes_max:
        raise EventTooLarge(
            f"the events of a batch, {kind!r} among them, have {weight} bytes of payload together, more than the"
            f" {bytes_max} of event_bytes_max; a batch is written as one: make several of it, or store the payloads"
            " elsewhere",
            kind=kind,
            size_bytes=weight,
            limit_bytes=bytes_max,
        )


def _put(pipeline: Pipeline, events: Sequence[E], bytes_max: int, around: Context | None) -> list[E]:
    if not events:
        return []
    ring = pipeline.ring
    seq = ring.applied.value
    stamped = pipeline.ingress.stamp(events, seq, current() if around is None else around, are_own=False)
    check_weight(sum(map(weight_of, stamped)), bytes_max, stamped[-1].kind)
    pipeline.count(stamped, are_own=False, has_quota=True)
    if len(stamped) > 1 and ring.journaled is not ring.applied:  # without a journal, a crash leaves none of them
        ring.groups.add(range(seq, seq + len(stamped)))
    return pipeline.put_stamped(stamped)
