"""A hub as a command of a follower has it: what the command puts is marked, in the same batch, by what came of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar, cast

import attrs

from .._commands import Core
from .._commit.pipeline import Pipeline
from ..context import current
from ..events import Event, FollowerCommanded, canonical
from .results import result_of

__all__ = ("Mark", "MarkingPipeline", "marking")

E = TypeVar("E", bound=Event)

_REFUSALS = frozenset({"command.denied", "envelope.rejected", "quota.breached"})
"""Events that say that a command was refused: given again, it is decided again."""


@attrs.define(eq=False, repr=False)
class Mark:
    """By what a command is known, and where its events are."""

    follower_id: str
    number: int
    name: str
    digest: str
    seq: int | None = None
    """Of the event that says what came of it; None if there is none yet."""
    last: int = -1
    """The highest ``seq`` that it has put."""

    def event(self, events: Sequence[Event]) -> FollowerCommanded:
        """Return what says what came of it, given the stamped events."""
        return FollowerCommanded(
            follower_id=self.follower_id,
            number=self.number,
            name=self.name,
            digest=self.digest,
            result=canonical({"is": result_of(self.name, events)}),
        )


class MarkingPipeline(Pipeline):
    """The pipeline of a hub, for one command: all it has is the hub's own."""

    mark: Mark

    def put_stamped(self, events: list[E]) -> list[E]:
        mark, first, count = self.mark, events[0].seq, len(events)
        if mark.seq is not None or all(event.kind in _REFUSALS for event in events):
            mark.last = events[-1].seq
            return super().put_stamped(events)
        made = self.ingress.stamp([mark.event(events)], first + count, current(), are_own=True)
        ring = self.ring
        if ring.journaled is not ring.applied:  # without a journal, a crash leaves none of them
            groups = ring.groups
            if groups.waiting and groups.waiting[-1].start == first:
                groups.waiting.pop()
            groups.add(range(first, first + count + 1))
        super().put_stamped(cast(list[E], [*events, *made]))
        mark.seq = mark.last = first + count
        return events


def marking(core: Core, mark: Mark) -> Core:
    """Return the same hub as one command has it."""
    pipeline = copy.copy(core._pipeline)  # noqa: SLF001 - it is the hub's
    pipeline.__class__ = MarkingPipeline
    cast(MarkingPipeline, pipeline).mark = mark
    face = copy.copy(core)
    face._pipeline = pipeline  # noqa: SLF001 - as above
    return face
