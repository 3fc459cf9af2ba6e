"""The feeds of a hub: taken from any thread, run while it is open, and finished before it closes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

import anyio

from .._foreign.guards import class_name
from ..errors import ConfigurationError, HubClosed
from ..events._shown import shown
from ..forks import register_at_fork
from ..waking import start_later
from .adapted import FEED, AdaptedFeed
from .feeding import FeedCall, Feeding, Surroundings
from .ground import Ground
from .handle import FeedHandle
from .states import FeedState, FeedStatistics

__all__ = ("Feeds",)

FINISH_SECONDS = 10.0
"""How long a feed that is removed has to bring in what waits."""

ENDED_MAX = 100
"""How many feeds that have returned are kept, the newest, with their numbers."""

_NAME = "the feed's name, a text"

_PROBLEMS_MAX = 20

_NAMES_MAX = 10_000
"""Of how many names it is remembered how often they were given: without that, a free one is looked for."""


class Feeds:
    """Holds the feeds of one hub, by name. A lock guards what threads change; their tasks belong to the hub's loop."""

    def __init__(self, around: Surroundings, ground: Ground) -> None:
        self._around = around
        self._lifecycle = around.lifecycle
        self._ground = ground
        self._lock = threading.Lock()
        self._handles: dict[str, tuple[Feeding, FeedHandle]] = {}
        """In the order in which they were given."""
        self._by_object: dict[int, Feeding] = {}
        """Those that have not ended, by the id of their object."""
        self._returned: deque[Feeding] = deque()
        """Those that have ended and were not removed, the oldest first."""
        self._leaving: set[str] = set()
        """The names of those that are being removed."""
        self._beginning: set[asyncio.Task[None]] = set()
        """The loop does not keep tasks alive by itself."""
        self._numbers: dict[str, int] = {}
        """How many feeds were called so: what the next one's name ends with."""
        register_at_fork(self)

    def after_fork_in_child(self) -> None:
        """A thread of the parent may hold the lock, which the child does not have."""
        self._lock = threading.Lock()

    # -- taking and removing --

    def add(self, candidate: object, name: object) -> FeedHandle:
        """See :meth:`hubwire.Hub.feed`."""
        if self._lifecycle.home.is_forked:
            raise self._lifecycle.home.forked()
        text = None if name is None else _name_of(name)
        feed = AdaptedFeed(candidate)
        with self._lock:
            self._check_takes()
            if (present := self._by_object.get(id(candidate))) is not None:
                raise ConfigurationError(
                    f"hub.feed(): this {class_name(candidate)} feeds the hub already, as {shown(present.name)};"
                    " give another object, or await handle.remove() before"
                )
            feeding, handle = self._registered(feed, self._unique(feed.name) if text is None else self._free(text))
        self._begin_soon(feeding)
        return handle

    def _check_takes(self) -> None:
        lifecycle = self._lifecycle
        if not lifecycle.takes_listeners:
            lifecycle.check_open()
        if self._ground.is_closed:
            raise HubClosed("the hub is closing, and takes no more feeds; nothing has happened")

    def _free(self, name: str) -> str:
        if name in self._handles:
            raise ConfigurationError(
                f"hub.feed(): a feed named {shown(name)} is there already; give this one another name, or remove it"
            )
        return name

    def _unique(self, name: str) -> str:
        unique, number = name, self._numbers.get(name, 0)
        while not number or unique in self._handles:
            number += 1
            unique = name if number == 1 else f"{name}-{number}"
        if len(self._numbers) >= _NAMES_MAX:
            self._numbers.clear()
        self._numbers[name] = number
        return unique

    def _registered(self, feed: AdaptedFeed, name: str) -> tuple[Feeding, FeedHandle]:
        feeding = Feeding(feed, name, self._around, self, self._ended)
        handle = FeedHandle(feeding, self._lifecycle, self.remove)
        self._handles[name] = feeding, handle
        self._by_object[id(feed.candidate)] = feeding
        return feeding, handle

    def remove(self, feeding: Feeding) -> None:
        """Let a feed finish, and forget it when it has ended."""
        with self._lock:
            self._leaving.add(feeding.name)
        if feeding.state is FeedState.ENDED:
            self._ended(feeding)
        else:
            feeding.finish(0.0 if feeding.state is FeedState.WAITING else anyio.current_time() + FINISH_SECONDS)

    def _ended(self, feeding: Feeding) -> None:
        """A feed has ended: forget it if it was removed, else keep its numbers for a while."""
        name = feeding.name
        with self._lock:
            if self._by_object.get(id(feeding.feed.candidate)) is feeding:
                del self._by_object[id(feeding.feed.candidate)]
            if name in self._leaving:
                self._leaving.discard(name)
                self._drop(feeding)
                return
            self._returned.append(feeding)
            while len(self._returned) > ENDED_MAX:
                oldest = self._returned.popleft()
                self._drop(oldest)

    def _drop(self, feeding: Feeding) -> None:
        if (present := self._handles.get(feeding.name)) is not None and present[0] is feeding:
            del self._handles[feeding.name]

    # -- running --

    def open(self) -> None:
        """The hub is open: begin with those that were given before."""
        for feeding in self._present():
            self._begin(feeding)

    def _begin_soon(self, feeding: Feeding) -> None:
        if self._ground.tasks is None:
            return
        home = self._lifecycle.home
        if home.is_here:
            self._begin(feeding)
            return
        try:
            home.running().call_soon_threadsafe(self._begin_in_task, feeding)
        except RuntimeError:
            feeding.end()
            raise HubClosed("the event loop of the hub is closed; nothing has happened") from None

    def _begin_in_task(self, feeding: Feeding) -> None:
        """Begin in a task: where sniffio is installed, a callback of the loop cannot start one in a group of anyio."""

        async def begin() -> None:
            self._begin(feeding)

        self._beginning.add(task := start_later(begin()))
        task.add_done_callback(self._beginning.discard)

    def _begin(self, feeding: Feeding) -> None:
        tasks = self._ground.tasks
        if tasks is not None and feeding.state is FeedState.WAITING:
            feeding.begin()
            self._ground.context().run(tasks.start_soon, feeding.live)

    async def stop(self, until: float, at_last: float) -> None:
        """Let all bring in what waits, until ``until`` in the loop's time; none is waited for longer than ``at_last``.

        The ground is closed before, so that no more are taken.
        """
        present = self._present()
        for feeding in present:
            feeding.finish(until, (at_last - until) / 2)
        with anyio.move_on_at(at_last):
            for feeding in present:
                await feeding.has_ended.wait()
        for feeding in present:
            feeding.cancel()

    def end(self) -> None:
        """The hub is over: no task of a feed goes on."""
        for feeding in self._present():
            feeding.end()

    # -- what the hub asks --

    @property
    def handles(self) -> tuple[FeedHandle, ...]:
        with self._lock:
            return tuple([handle for _, handle in self._handles.values()])

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by a feed of this hub, or runs in a task that one has started."""
        return FeedCall.is_inside(self)

    def statistics(self) -> tuple[FeedStatistics, ...]:
        return tuple([feeding.statistics() for feeding in self._present()])

    def problems(self) -> list[str]:
        found: list[str] = []
        for feeding in self._present():
            found += feeding.problems()
        if (more := len(found) - _PROBLEMS_MAX) > 0:
            found[_PROBLEMS_MAX:] = [f"feeds have {more} more problems; hub.statistics().feeds has their last errors"]
        return found

    def _present(self) -> list[Feeding]:
        with self._lock:
            return [feeding for feeding, _ in self._handles.values()]


def _name_of(name: object) -> str:
    text = FEED.id("name", name, wanted=_NAME)
    if not text.strip() or not text.isprintable():
        raise FEED.refusal("name", text, f"{_NAME} that is printable and not empty")
    return text
