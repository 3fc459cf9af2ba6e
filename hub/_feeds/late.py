"""Feeds late: what they need is imported, and made, with the first one. Many hubs have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from .._late import Late
from .ground import Ground

if TYPE_CHECKING:
    from .feeds import Feeds
    from .handle import FeedHandle
    from .states import FeedStatistics

__all__ = ("LateFeeds",)


class LateFeeds(Late["Feeds"]):
    """The feeds of a hub, from before there are any."""

    def __init__(self, make: Callable[[Ground], Feeds]) -> None:
        self._ground = Ground()
        super().__init__(lambda: make(self._ground))

    def start(self, tasks: TaskGroup) -> None:
        """The hub is open: run feeds from now on, in this group of tasks."""
        self._ground.open(tasks)
        if self._part is not None:  # one that is made now, in another thread, sees the ground with its first feed
            self._part.open()

    async def stop(self, until: float, at_last: float) -> None:
        """Take no more feeds, and end those there are: see :meth:`.feeds.Feeds.stop`."""
        self._ground.close()
        if self._part is not None:
            await self._part.stop(until, at_last)

    def end(self) -> None:
        """The hub is over."""
        self._ground.close()
        if self._part is not None:
            self._part.end()

    @property
    def handles(self) -> tuple[FeedHandle, ...]:
        return () if self._part is None else self._part.handles

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by a feed of this hub, or runs in a task that one has started."""
        return self._part is not None and self._part.is_calling()

    def statistics(self) -> tuple[FeedStatistics, ...]:
        return () if self._part is None else self._part.statistics()

    def problems(self) -> list[str]:
        return [] if self._part is None else self._part.problems()
