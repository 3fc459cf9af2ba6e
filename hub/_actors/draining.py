"""Draining: actors handle what is in their inboxes, and what comes of that among them, and are stopped then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

import anyio
import attrs

from .._commands.core import Core
from .._state.inboxes import Inboxes, Waiting
from ..errors import CommandRejected
from ..events import ActorStopped, EnvelopeDeadLettered, EnvelopeDropped, EnvelopeExpired, EnvelopePosted
from ..ports import Clock
from .calls import is_held_up
from .members import Crew

__all__ = ("Drained", "Draining")


@attrs.frozen(kw_only=True)
class Drained:
    """What the inboxes of actors hold that were drained, by the names of their agents; none that is empty."""

    left: Mapping[str, int]
    """How many envelopes were to be handled, and were not: the time was over, or they come again later."""
    new: Mapping[str, int]
    """How many have come meanwhile, and wait for the next actor."""

    @property
    def is_complete(self) -> bool:
        """Whether all that was to be handled was."""
        return not self.left


class Draining:
    """Drains actors of one hub."""

    def __init__(self, core: Core, inboxes: Inboxes, clock: Clock) -> None:
        self._core = core
        self._inboxes = inboxes
        self._clock = clock
        self._changed = anyio.Event()
        # What an actor's own wait for its next envelope does not show.
        for kind in (EnvelopeDeadLettered, EnvelopeDropped, EnvelopeExpired, ActorStopped):
            core.on_applied(kind, lambda _: self._look())

    def check(self, crews: Iterable[Crew]) -> None:
        """Raise if the code that runs is a turn of one of these, its ``on_start`` or its ``on_stop``."""
        if is_held_up(self._core, {crew.agent.id for crew in crews}):
            raise CommandRejected(
                "an actor cannot wait in a turn, in on_start or in on_stop until it is drained itself, because it would"
                " wait for itself; drain it from elsewhere, or call stop() here"
            )

    async def run(
        self, crews: Callable[[], Iterable[Crew]], stop: Callable[[], Awaitable[None]], seconds: float
    ) -> Drained:
        """Let actors handle what is in their inboxes now, for so many seconds at most; ``stop`` them then."""
        drained = {crew.agent.id: crew for crew in crews()}
        takes = partial(_is_taken, self._core.next_seq, frozenset(drained))
        for crew in drained.values():
            crew.inbox.take_only(takes, self._look)
        until_ns = self._clock.now_ns() + round(seconds * 1e9)
        if seconds:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_handled, tuple(drained.values()), takes, until_ns, tasks.cancel_scope)
                await self._clock.sleep(seconds)
                tasks.cancel_scope.cancel()
        await stop()
        names = {agent_id: crew.agent.name for agent_id, crew in drained.items()}
        waiting = {names[each]: self._inboxes.pending(each) for each in names}
        left = {name: sum(takes(each.envelope) for each in pending) for name, pending in waiting.items()}
        new = {name: len(pending) - left[name] for name, pending in waiting.items()}
        return Drained(left=_positive(left), new=_positive(new))

    def _look(self) -> None:
        self._changed.set()

    async def _until_handled(
        self,
        crews: tuple[Crew, ...],
        takes: Callable[[EnvelopePosted], bool],
        until_ns: int,
        scope: anyio.CancelScope,
    ) -> None:
        def is_owed(waiting: Waiting) -> bool:
            until = waiting.delayed_until_ns
            return takes(waiting.envelope) and (until is None or until <= until_ns)

        def is_busy(crew: Crew) -> bool:
            if crew.is_stopped:
                return False
            lives = [member.life for member in crew.members if member.life is not None]
            pending = self._inboxes.pending(crew.agent.id)
            return any(not life.is_idle for life in lives) or any(map(is_owed, pending))

        while any(map(is_busy, crews)):
            self._changed = anyio.Event()
            await self._changed.wait()
        scope.cancel()


def _is_taken(before_seq: int, agent_ids: frozenset[str], envelope: EnvelopePosted) -> bool:
    """Tell whether an envelope was there before, or comes from one of those that are drained together."""
    return envelope.seq < before_seq or envelope.agent_id in agent_ids


def _positive(counts: Mapping[str, int]) -> Mapping[str, int]:
    return {name: count for name, count in counts.items() if count}
