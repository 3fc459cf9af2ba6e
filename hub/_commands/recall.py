"""Recall: the contents of the past, from where they still are: the ring, memory, the journal, and its archive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from .._commit.ring import Ring
from .._state import State
from .._state.memories import KINDS
from ..errors import HistoryGone
from ..events import Event
from ..ports import Journal

if TYPE_CHECKING:
    from .._journal.archive import Archive  # imported only for a hub with a journal

__all__ = ("Recall",)

_GAP_MAX = 256
"""Events that are no farther apart are read together: to skip one costs less than to find a place anew."""
_LIGHT = 512
"""What an event weighs at least."""


class Recall:
    """Finds committed events of the past by their ``seq``."""

    def __init__(
        self, ring: Ring, state: State, journal: Journal | None, archive: Archive | None, *, bytes_max: int
    ) -> None:
        """``bytes_max``: what is held in memory, where there is no journal."""
        self._ring = ring
        self._state = state
        self._journal = journal
        self._archive = archive
        self._held: dict[int, Event] = {}
        """The oldest first."""
        self._held_bytes = 0
        self._bytes_max = bytes_max
        self.renew: Callable[[], Awaitable[None]] | None = None
        """Called before the archive is read that another hub keeps; None where this one does."""

    @property
    def kinds_to_hold(self) -> tuple[type[Event], ...]:
        """The kinds of which each applied event has to be given to :meth:`hold`: where no journal has them."""
        return KINDS if self._journal is None and self._bytes_max else ()

    @property
    def end(self) -> int:
        """The ``seq`` below which events are committed: what a crash can undo is not recalled."""
        return self._ring.committed.value

    async def events(self, seqs: Sequence[int], *, key: str) -> dict[int, Event]:
        """Return those of these events that can be found, by their ``seq``; ``key`` is that of the archive.

        Raises :class:`~hubwire.errors.LogDamaged` for what was kept and is damaged.
        """
        found: dict[int, Event] = {}
        for seq in seqs:
            if self._ring.first <= seq < self.end:
                found[seq] = self._ring.slice(seq, seq + 1)[0]
            elif (event := self._held.get(seq)) is not None:
                found[seq] = event
        if self._journal is not None and (missing := sorted(seq for seq in seqs if seq not in found)):
            await self._read_journal(self._journal, missing, found)
        if self._archive is not None and (missing := sorted(seq for seq in seqs if seq not in found)):
            if self.renew is not None:
                await self.renew()
            found |= await self._archive.read(key, missing)
        return found

    async def _read_journal(self, journal: Journal, seqs: Sequence[int], found: dict[int, Event]) -> None:
        for stretch in _stretches([seq for seq in seqs if journal.first_seq <= seq < journal.next_seq]):
            wanted = set(stretch)
            replay = journal.replay(stretch[0] - 1)
            try:
                async for event in replay:
                    if event.seq in wanted:
                        found[event.seq] = event
                    if event.seq >= stretch[-1]:
                        break
            except HistoryGone:
                continue  # truncated meanwhile: the archive has it
            finally:
                if isinstance(replay, AsyncGenerator):
                    await replay.aclose()

    def hold(self, event: Event) -> None:
        """Hold an event of a channel in memory; let the oldest go where they are too many."""
        if event.channel_id is None:
            return  # as of what was published on a topic: it is in the history of no channel
        weight = event._weight  # noqa: SLF001 - stamping left it
        self._held[event.seq] = event
        self._held_bytes += max(_LIGHT, weight)
        if self._held_bytes > self._bytes_max:
            self._let_go()

    def _let_go(self) -> None:
        """Let the oldest events go, a tenth of all."""
        for seq, event in [*self._held.items()]:  # a list: the dictionary shrinks
            if self._held_bytes <= self._bytes_max * 9 // 10:
                return
            del self._held[seq]
            self._held_bytes -= max(event._weight, _LIGHT)  # noqa: SLF001


def _stretches(seqs: Sequence[int]) -> list[list[int]]:
    stretches: list[list[int]] = []
    for seq in seqs:
        if stretches and seq - stretches[-1][-1] <= _GAP_MAX:
            stretches[-1].append(seq)
        else:
            stretches.append([seq])
    return stretches
