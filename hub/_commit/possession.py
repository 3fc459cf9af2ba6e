"""Possession: whether the journal is still this hub's, where the store holds no lock and a newcomer wins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import Fenced, HubFailed, JournalFailed
from ..ports import Clock, Journal
from .phase import Lifecycle, Phase

__all__ = ("Possession",)

_OPEN = Phase.OPEN
_FOLLOWING = Phase.FOLLOWING
_SECONDS = 1.0
_NS = 1_000_000_000
"""A proof holds for this time; what cannot be asked is asked again after it."""

_IDLE_SECONDS = 10.0
"""A hub that neither appends nor delivers asks after this time: who waits for events learns, too."""


class Possession:
    """Proves that no other hub took over: by an append that succeeds or, where none did for a second, by a check.

    The clock of a machine that stands still may stand still with it, so the time of day counts as well.
    """

    def __init__(self, journal: Journal, clock: Clock, lifecycle: Lifecycle, fail: Callable[[HubFailed], None]) -> None:
        self.error: Exception | None = None
        """Why the journal cannot be asked; None if it can."""
        self._journal = journal
        self._clock = clock
        self._elapsed, self._now_ns = clock.monotonic, clock.now_ns
        self._lifecycle = lifecycle
        self._fail = fail
        self._proved_at = self._now()
        self._asking = asyncio.Lock()

    def proved(self) -> None:
        """An append has succeeded."""
        self._proved_at = (self._elapsed(), self._now_ns())

    @property
    def is_ours(self) -> bool:
        """Whether the hub leads, and a proof of that is younger than a second."""
        return self._lifecycle.phase is _OPEN and self.is_proved

    @property
    def is_proved(self) -> bool:
        """Whether a proof is younger than a second. What a hub reads that follows needs none: it is committed."""
        if self._lifecycle.phase is _FOLLOWING:
            return True
        then, then_of_day = self._proved_at
        return self._elapsed() - then < _SECONDS and 0 <= self._now_ns() - then_of_day < _NS

    async def prove_when_ours(self) -> bool:
        """Wait while the hub follows or starts, then as :meth:`prove`; return False if it ends before it leads."""
        if not await self._lifecycle.until_leading():
            return False
        await self.prove()
        return True

    async def prove(self) -> None:
        """Return when there is a proof that is younger than a second, however long the journal cannot be asked.

        A hub that has ended need not prove any. Raises :class:`~hubwire.errors.JournalFailed` if another hub took
        over: then this one has failed.
        """
        async with self._asking:
            while self._lifecycle.takes_events and not self.is_proved:
                asked_at = self._now()
                try:
                    await self._journal.check()
                except Fenced as error:
                    raise self.lost(error) from error
                except Exception as error:  # noqa: BLE001 - it is no proof: health tells, and it is asked again
                    self.error = error
                    await self._clock.sleep(_SECONDS)
                else:
                    self.error, self._proved_at = None, asked_at
                    return

    def lost(self, error: Fenced) -> JournalFailed:
        """Fail, because another hub took over; return the failure."""
        failure = JournalFailed(
            "another hub has taken the journal over, so this one stops, and delivers nothing any more; see that only"
            " one hub runs on the journal"
        )
        failure.__cause__ = error
        self._fail(failure)
        return failure

    async def watch(self) -> None:
        """Ask now and then, for as long as the hub runs."""
        try:
            while True:
                await self._clock.sleep(_IDLE_SECONDS)
                await self.prove()
        except JournalFailed:
            pass  # the hub has failed, and its tasks end

    def _now(self) -> tuple[float, int]:
        return self._elapsed(), self._now_ns()
