"""The phase of a hub's life, its legal moves, and what may be done in each: the only place that decides this."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from enum import Enum

from .._reraise import repeat
from ..errors import ConfigurationError, HubAborted, HubClosed, HubFailed, NotLeading
from ..own_log import OwnLog

__all__ = ("MOVES", "HomeLoop", "Lifecycle", "Phase")

_log = OwnLog("hub")

_running_loop = asyncio._get_running_loop  # noqa: SLF001 - exported by asyncio; None where no loop runs, instead of an error


class Phase(Enum):
    """Where a hub is in its life."""

    NEW = "new"
    """Made, not started. Listeners can be attached, channel types registered."""
    FOLLOWING = "following"
    """It applies what another hub commits, and is only read: it has no possession, and takes no commands."""
    STARTING = "starting"
    """It takes possession of the journal, recovers and enters its listeners; these may emit already."""
    OPEN = "open"
    """It takes commands."""
    CLOSING = "closing"
    """It takes no more commands; what was taken is committed, and the listeners handle the rest."""
    STOPPED = "stopped"
    """``hub.stopped`` is on the ring, or the start was refused: no event follows."""
    FAILED = "failed"
    """It could not keep its promises. All calls that wait get the failure."""


MOVES: Mapping[Phase, frozenset[Phase]] = {
    Phase.NEW: frozenset({Phase.STARTING, Phase.FOLLOWING}),
    Phase.FOLLOWING: frozenset({Phase.STARTING, Phase.STOPPED, Phase.FAILED}),  # the first when the journal is its own
    Phase.STARTING: frozenset({Phase.OPEN, Phase.STOPPED, Phase.FAILED}),
    Phase.OPEN: frozenset({Phase.CLOSING, Phase.FAILED}),
    Phase.CLOSING: frozenset({Phase.STOPPED, Phase.FAILED}),
    Phase.STOPPED: frozenset({Phase.FAILED}),  # the last events could not be committed
    Phase.FAILED: frozenset(),
}
"""The phases that may follow each phase."""

_WHY_NOT_OPEN: Mapping[Phase, str] = {
    Phase.NEW: "the hub is not running yet: use it inside 'async with hub:'",
    Phase.STARTING: "the hub is not running yet, but starting: use it inside 'async with hub:'",
    Phase.CLOSING: "the hub is closing, and takes no more commands; nothing has happened",
    Phase.STOPPED: "the hub is not running any more: make a new one; Hub(store) goes on where this one stopped",
}


class HomeLoop:
    """The event loop, in one process, in which a hub runs."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """None before the start."""
        self._pid = 0

    def adopt_running_loop(self) -> None:
        """Make the running loop the home."""
        self.loop, self._pid = asyncio.get_running_loop(), os.getpid()

    def running(self) -> asyncio.AbstractEventLoop:
        """Return the home, which has been adopted."""
        assert self.loop is not None
        return self.loop

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked from the one in which the loop runs."""
        return self.loop is not None and self._pid != os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this code runs in the home."""
        return self.loop is not None and self.loop is _running_loop()

    def check_here(self) -> None:
        """Raise :class:`~hubwire.errors.ConfigurationError` unless this code runs in the home, or there is none yet."""
        if self.is_forked:
            raise self.forked()
        if self.loop is not None and self.loop is not _running_loop():
            raise ConfigurationError(
                "the hub runs in another event loop; use it in the loop it was started in, or emit_threadsafe"
            )

    def forked(self) -> ConfigurationError:
        """Return the error for a call in a forked child."""
        return ConfigurationError(
            f"this is process {os.getpid()}, forked from the one in which the hub runs, and has a dead copy of it;"
            " start a hub of its own in the child, or use spawn instead of fork"
        )


class Lifecycle:
    """The phase that a hub is in, and the failure that ended it. The parts of a hub ask here, and keep no copies."""

    def __init__(self) -> None:
        self.home: HomeLoop = HomeLoop()
        self.phase: Phase = Phase.NEW
        self.failure: HubFailed | None = None
        """What the hub failed with: set if and only if the phase is FAILED."""
        self._failed: asyncio.Future[None] | None = None
        self._moved: asyncio.Event | None = None
        """Set when the hub goes on to another phase; None while no task waits for that."""

    def move(self, phase: Phase) -> None:
        """Go on to a phase; one that cannot follow the present one is a bug of the hub."""
        assert phase in MOVES[self.phase], f"{self.phase} cannot be followed by {phase}"
        self.phase = phase
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.set()

    async def until_leading(self) -> bool:
        """Wait while the hub follows or starts; return False if it has ended without leading."""
        has_waited = False
        while self.phase in (Phase.FOLLOWING, Phase.STARTING):
            has_waited = True
            if self._moved is None:
                self._moved = asyncio.Event()
            await self._moved.wait()
        return not has_waited or self.takes_events

    def fail(self, failure: HubFailed, *, is_logged: bool = True) -> bool:
        """Go to FAILED; return False if the hub has failed before, and keep the first failure."""
        if self.failure is not None:
            return False
        self.failure = failure
        self.move(Phase.FAILED)
        if isinstance(failure, HubAborted):
            _log.detail("a hub was aborted")  # on purpose: who did it knows
        elif is_logged and not self.home.is_forked:  # in a child it is a dead copy, and the hub itself goes on
            _log.failure("a hub has failed", failure)
        if self._failed is not None and not self._failed.done():
            self._failed.set_result(None)
        return True

    def failed(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future of this loop, the same each time, that is done when the hub has failed."""
        if self._failed is None:
            self._failed = loop.create_future()
            if self.failure is not None:
                self._failed.set_result(None)
        return self._failed

    # -- what may be done now --

    @property
    def was_started(self) -> bool:
        """Whether a start was tried: what has to be set up before is refused from then on."""
        return self.phase is not Phase.NEW

    @property
    def is_open(self) -> bool:
        """Whether the hub takes commands."""
        return self.phase is Phase.OPEN

    @property
    def is_following(self) -> bool:
        """Whether the hub applies what another one commits, and is only read."""
        return self.phase is Phase.FOLLOWING

    @property
    def puts_no_more(self) -> bool:
        """Whether no event will be put: the hub was closed or has failed, or was not started."""
        return not self.takes_events and self.phase is not Phase.FOLLOWING

    @property
    def takes_events(self) -> bool:
        """Whether events may be put on the ring without admission: the hub's own, and those of held listeners."""
        phase = self.phase
        return phase is _OPEN or phase in _TAKES_EVENTS  # a set hashes the member, by code in Python

    @property
    def takes_listeners(self) -> bool:
        """Whether listeners may be attached."""
        return self.phase in _TAKES_LISTENERS

    def check_not_failed(self) -> None:
        """Raise a copy of what the hub failed with, if it has failed."""
        if self.failure is not None:
            raise repeat(self.failure)

    def check_here(self) -> None:
        """Raise :class:`~hubwire.errors.ConfigurationError` in another loop than the hub's, or a forked process."""
        self.home.check_here()

    def check_open(self) -> None:
        """Raise what the hub failed with, or :class:`~hubwire.errors.HubClosed`, if it takes no commands.

        In another loop, or a forked process, raise :class:`~hubwire.errors.ConfigurationError`.
        """
        self.check_not_failed()
        if self.phase is not Phase.OPEN:
            raise self._not_open()
        self.home.check_here()

    def check_takes_events(self) -> None:
        """Raise as :meth:`check_open` does, if not even the hub's own events may be put."""
        self.check_not_failed()
        if not self.takes_events:
            raise self._not_open()
        self.home.check_here()

    def check_runs(self) -> None:
        """Raise as :meth:`check_open` does, if the hub is neither open nor following: it is not even read."""
        if self.phase is not Phase.FOLLOWING:
            self.check_open()
        self.home.check_here()

    def _not_open(self) -> HubClosed:
        if self.phase is Phase.FOLLOWING:
            return NotLeading(
                "this hub follows another one and takes no commands; nothing has happened. Give the command to the hub"
                " that leads; or connect this one with it, hub.connect(link), or let it lead: await hub.lead()"
            )
        return HubClosed(_WHY_NOT_OPEN[self.phase])


_OPEN = Phase.OPEN
_TAKES_EVENTS = frozenset({Phase.STARTING, Phase.OPEN, Phase.CLOSING})
_TAKES_LISTENERS = frozenset({Phase.NEW, Phase.FOLLOWING, Phase.STARTING, Phase.OPEN})
