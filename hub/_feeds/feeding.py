"""One feed on one hub, from when it is given to it to its end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import ClassVar

import anyio
import attrs

from .._commit.held import NestedCall
from .._commit.phase import Lifecycle
from .._delivery.announcements import Announcements
from .._foreign.abandoned import Abandoned
from .._foreign.tasks import GRACE_SECONDS
from ..ports import Clock
from .adapted import AdaptedFeed
from .failures import Failures
from .states import MOVES, FeedState, FeedStatistics

__all__ = ("FeedCall", "Feeding", "Surroundings")


class FeedCall(NestedCall):
    """A call of a feed. The end of the feed waits for it, and so does the end of its hub, known by its feeds."""

    __slots__ = ()
    innermost: ClassVar[ContextVar[NestedCall | None]] = ContextVar("hubwire.feed_call", default=None)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Surroundings:
    """What all feeds of a hub use of it."""

    hub: object
    """What feeds are called with."""
    clock: Clock
    lifecycle: Lifecycle
    abandoned: Abandoned
    announcements: Announcements


class Feeding:
    """Runs one feed, again and again while it fails, until it returns or is asked to finish."""

    def __init__(
        self,
        feed: AdaptedFeed,
        name: str,
        around: Surroundings,
        all_feeds: object,
        on_end: Callable[[Feeding], None],
    ) -> None:
        """``all_feeds`` stands for the feeds of the hub; ``on_end`` is called when this one has ended."""
        self.feed: AdaptedFeed = feed
        self.name: str = name
        self.state: FeedState = FeedState.WAITING
        self.has_ended: asyncio.Event = asyncio.Event()
        self._around = around
        self._all_feeds = all_feeds
        self._on_end = on_end
        self._failures = Failures(name, around.clock, around.announcements)
        self._restarts = 0
        self._finish_at = math.inf
        """When it has to have finished, in the loop's time; infinite: it was not asked to."""
        self._grace_seconds = GRACE_SECONDS
        self._is_to_finish = asyncio.Event()
        self._was_called = asyncio.Event()
        self._scope: anyio.CancelScope | None = None

    # -- from outside --

    def finish(self, at: float, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask it to bring in what waits, until ``at`` in the loop's time, and to end then.

        ``grace_seconds``: how long it is waited for when it is cancelled then.
        """
        if at < self._finish_at:
            self._finish_at, self._grace_seconds = at, grace_seconds
        if self.state is FeedState.WAITING:
            self.end()
        else:
            self._is_to_finish.set()

    def cancel(self) -> None:
        """End it without finishing."""
        if self._scope is not None:
            self._scope.cancel()

    def end(self) -> None:
        """It is over, whatever has ended it."""
        if self.state is not FeedState.ENDED:
            self._move(FeedState.ENDED)
            self.has_ended.set()
            self._on_end(self)

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by this, or runs in a task that the feed has started."""
        return FeedCall.is_inside(self)

    def statistics(self) -> FeedStatistics:
        return FeedStatistics(
            name=self.name,
            state=self.state,
            restarts=self._restarts,
            failed=self._failures.total,
            last_error=self._failures.last_error,
            numbers=self.feed.numbers()[0],
        )

    def problems(self) -> list[str]:
        """Return why it does not bring all that it should."""
        failing = self._failures.problem(self.state)
        found = [*([] if failing is None else [failing]), *self.feed.problems()]
        return [f"feed {self.name!r}: {each}" for each in found]

    # -- its task --

    def begin(self) -> None:
        """:meth:`live` is going to be called."""
        self._move(FeedState.RUNNING)

    async def live(self) -> None:
        """Run the feed to its end."""
        try:
            async with anyio.create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                tasks.start_soon(self._bring)
                await self._was_called.wait()  # a feed knows its hub by the call of run
                await self._is_to_finish.wait()
                self._move(FeedState.FINISHING)
                await self._call_finish()
                tasks.cancel_scope.cancel()
        finally:
            self._scope = None
            self.end()

    async def _bring(self) -> None:
        around = self._around
        while True:
            self._failures.begin()
            try:
                await around.abandoned.call(f"feed {self.name}", self._inside, self.feed.run, around.hub)
            except Exception as error:  # noqa: BLE001 - it is counted and reported
                pause = self._failures.add(error)
            else:
                break
            if self.state is not FeedState.FINISHING:
                self._move(FeedState.PAUSING)
                await around.clock.sleep(pause)
            if self._finish_at < math.inf:
                return
            self._restarts += 1
            self._move(FeedState.RUNNING)
        if self.state is not FeedState.FINISHING:
            self.cancel()

    async def _call_finish(self) -> None:
        around = self._around
        if self.feed.finish is None:
            return
        seconds = max(self._finish_at - anyio.current_time(), 0.0)
        try:
            await around.abandoned.call(
                f"feed {self.name}", self._inside, self.feed.finish, seconds=seconds, grace_seconds=self._grace_seconds
            )
        except Exception as error:  # noqa: BLE001 - it is counted and reported
            self._failures.add(error)

    async def _inside(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self._was_called.set()
        with FeedCall(self._all_feeds), FeedCall(self):
            await function(*args)

    def _move(self, state: FeedState) -> None:
        assert state in MOVES[self.state], f"a feed does not go from {self.state} to {state}"
        self.state = state
