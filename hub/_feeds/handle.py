"""What a program has of a feed that it gave to a hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._commit.phase import Lifecycle
from .feeding import Feeding
from .states import FeedState, FeedStatistics

__all__ = ("FeedHandle",)


class FeedHandle:
    """A feed on a hub, as ``hub.feed(feed)`` returns it, and ``hub.feeds`` lists it."""

    def __init__(self, feeding: Feeding, lifecycle: Lifecycle, remove: Callable[[Feeding], None]) -> None:
        self._feeding = feeding
        self._lifecycle = lifecycle
        self._remove = remove

    @property
    def name(self) -> str:
        """Its name, unique on the hub."""
        return self._feeding.name

    @property
    def feed(self) -> Any:
        """The object that was given to the hub."""
        return self._feeding.feed.candidate

    @property
    def state(self) -> FeedState:
        """Where it is in its life."""
        return self._feeding.state

    def statistics(self) -> FeedStatistics:
        """Return its numbers, in any thread."""
        return self._feeding.statistics()

    async def remove(self) -> None:
        """Let the feed bring in what waits, and take it off the hub; return when it has ended.

        Its ``finish`` has ten seconds, and its ``run`` is cancelled then. It goes on to its end when this is cancelled.
        From inside the feed this returns at once. One that has ended is taken off, and only numbers are lost by that.

        Raises :class:`~hubwire.errors.ConfigurationError` in another event loop than the hub's.
        """
        if self._feeding.state is not FeedState.ENDED:
            self._lifecycle.check_here()
        self._remove(self._feeding)
        if not self._feeding.is_calling():
            await self._feeding.has_ended.wait()

    def __repr__(self) -> str:
        return f"FeedHandle({self.name!r}, {self.state.value})"
